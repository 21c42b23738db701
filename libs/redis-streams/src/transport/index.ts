export { RedisStreamsServer } from './redis-streams.server.js';
export { RedisStreamsClient } from './redis-streams.client.js';
export { RedisStreamsContext } from './redis-streams.context.js';
export { RedisStreamsExceptionFilter } from './redis-streams-exception.filter.js';
export { StreamRecord, type StreamRecordOptions } from './stream-record.js';
export { CallTimeoutError, ClientClosedError } from './transport.errors.js';
export {
  redisStreamsTransport,
  type RedisStreamsClientOptions,
  type RedisStreamsServerOptions,
} from './transport.options.js';
