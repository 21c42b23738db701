import {
  checkInteger,
  checkKnownKeys,
  checkOneOf,
  checkText,
  durationMs,
  OptionsError,
  type Duration,
} from '@redstart/redis-core';
import { resolveRetry, type RetryOptions, type RetryPolicy } from '../consumer/retry-policy.js';
import type { StreamDefinition } from '../definition/define-stream.js';
import { RedisStreams } from '../streams.service.js';

/** What tells this transport from others: `@EventPattern('order.created', redisStreamsTransport)` is for this one alone. */
export const redisStreamsTransport = Symbol.for('redstart:redis-streams');

export interface RedisStreamsServerOptions {
  /** Of the application: `app.get(RedisStreams)`, or injected into `useFactory`. It brings the connection and its options. */
  streams: RedisStreams;
  /**
   * Where events are, and, beside it, calls: the same as the clients say. A definition where the events have schemas or the stream has partitions; a name for any event.
   */
  stream: StreamDefinition | string;
  /** The consumer group for events: every group gets every event once. Calls are answered by one server of the stream, whatever its group. */
  group: string;
  /** How many events, and how many calls, this process handles at a time. @default 10 */
  concurrency?: number;
  /** Where a group that does not exist yet begins: with the oldest event, or with what is emitted from now on. @default 'start' */
  from?: 'start' | 'new';
  /** How many events are fetched ahead of those that are handled. @default 2 * concurrency, at most 200 */
  prefetch?: number;
  /** How often a failing event is tried in all, and how long it waits before the next attempt. @default retry of the module */
  retry?: RetryOptions;
  /** How long the handlers of one event may take: then its signal aborts, the run counts as failed, and its slot is free. Calls end with the `timeout` of the client. @default none */
  timeout?: Duration;
}

export interface RedisStreamsClientOptions {
  /** Of the application: injected into the `useFactory` of `ClientsModule.registerAsync`. */
  streams: RedisStreams;
  /** The stream of the servers. */
  stream: StreamDefinition | string;
  /** How long a call waits for its reply, or, when there are several, for the next one. A call that no server has begun by then is not begun any more. @default '10s' */
  timeout?: Duration;
}

export interface ResolvedServerOptions {
  readonly streams: RedisStreams;
  readonly stream: StreamDefinition | string;
  readonly group: string;
  readonly concurrency: number;
  readonly prefetch: number;
  /** The id after which a new group begins. */
  readonly from: string;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number | undefined;
}

export interface ResolvedClientOptions {
  readonly streams: RedisStreams;
  readonly stream: StreamDefinition | string;
  readonly timeoutMs: number;
}

/** @throws OptionsError */
export function resolveServerOptions(raw: RedisStreamsServerOptions): ResolvedServerOptions {
  const where = 'RedisStreamsServer';
  checkKnownKeys(raw, ['streams', 'stream', 'group', 'concurrency', 'prefetch', 'from', 'retry', 'timeout'], where);
  const place = checkPlace(raw, where);
  const concurrency = checkInteger(raw.concurrency ?? 10, `${where}.concurrency`, 1, 10_000);
  return Object.freeze({
    ...place,
    group: checkText(raw.group, `${where}.group`),
    concurrency,
    prefetch: checkInteger(raw.prefetch ?? Math.min(2 * concurrency, 200), `${where}.prefetch`, 0, 10_000),
    from: checkOneOf(raw.from ?? 'start', `${where}.from`, ['start', 'new']) === 'new' ? '$' : '0',
    retry: resolveRetry(raw.retry ?? {}, `${where}.retry`, place.streams.options.retry),
    timeoutMs:
      raw.timeout === undefined ? undefined : durationMs(raw.timeout, `${where}.timeout`, { min: 1, max: 86_400_000 }),
  });
}

/** @throws OptionsError */
export function resolveClientOptions(raw: RedisStreamsClientOptions): ResolvedClientOptions {
  const where = 'RedisStreamsClient';
  checkKnownKeys(raw, ['streams', 'stream', 'timeout'], where);
  return Object.freeze({
    ...checkPlace(raw, where),
    timeoutMs: durationMs(raw.timeout ?? '10s', `${where}.timeout`, { min: 1, max: 86_400_000 }),
  });
}

function checkPlace({ streams, stream }: RedisStreamsClientOptions | RedisStreamsServerOptions, where: string) {
  if (!(streams instanceof RedisStreams)) {
    throw new OptionsError(`${where}.streams`, 'expected RedisStreams, as RedisStreamsModule.forRoot provides it.');
  }
  if (typeof stream === 'string') checkText(stream, `${where}.stream`);
  return { streams, stream };
}
