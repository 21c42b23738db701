import { checkKnownKeys } from '@redstart/redis-core';
import { checkHeaders, type PublishOptions } from '../producer/publish-options.js';

export type StreamRecordOptions = Pick<PublishOptions, 'key' | 'messageId' | 'headers' | 'delay' | 'at'>;

/**
 * An event with options: the data for `client.emit`. What the options do, {@link PublishOptions} says; a call (`client.send`) takes only headers.
 *
 * @example  client.emit('order.created', new StreamRecord(order, { messageId: `created:${order.id}` }))
 */
export class StreamRecord<Data = unknown> {
  constructor(
    readonly data: Data,
    readonly options: StreamRecordOptions = {},
  ) {
    checkKnownKeys(options, ['key', 'messageId', 'headers', 'delay', 'at'], 'StreamRecord(_, options)');
    if (options.headers !== undefined) checkHeaders(options.headers, 'StreamRecord(_, { headers })');
  }
}

/** Takes the data and the options of a packet apart. */
export function recordOf(data: unknown): StreamRecord {
  return data instanceof StreamRecord ? (data as StreamRecord) : new StreamRecord(data);
}
