import { GroupConsumer } from '../consumer/group-consumer.js';
import type { RetryPolicy } from '../consumer/retry-policy.js';
import type { StreamContext } from '../consumer/stream-context.js';
import type { ConsumerMetadata } from '../decorators/stream-consumer.js';
import { traced } from '../telemetry/handling-channel.js';
import type { RedisStreams } from '../streams.service.js';

/** One handler for all messages of a stream that it has patterns for; any other is acknowledged and counted as unhandled. */
export interface AnyHandler {
  /** For the log. */
  readonly name: string;
  /** Types; `*` stands for any text. */
  readonly patterns: readonly string[];
  readonly retry: RetryPolicy;
  readonly timeoutMs: number | undefined;
  readonly invoke: (payload: unknown, ctx: StreamContext) => Promise<unknown>;
}

/** A consumer that is not discovered. Not started yet. */
export function consumeAll(
  streams: RedisStreams,
  consumer: ConsumerMetadata,
  { name, patterns, retry, timeoutMs, invoke }: AnyHandler,
): GroupConsumer {
  const handlers = patterns.map((pattern) => ({
    ...{ name: `${name} (${pattern})`, pattern, retry, timeoutMs, batch: undefined, inboxMs: undefined },
    // What is no batch handler is called with the context of one message.
    invoke: traced((payload, ctx) => invoke(payload, ctx as StreamContext)),
  }));
  return new GroupConsumer(streams, consumer, { handlers, onDeadLetter: undefined });
}
