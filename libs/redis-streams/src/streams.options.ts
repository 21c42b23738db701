import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnownKeys,
  checkText,
  durationMs,
  type Duration,
} from '@redstart/redis-core';
import type { MessageHeaders } from './message/envelope.js';
import { resolveRetry, type RetryOptions, type RetryPolicy } from './consumer/retry-policy.js';

export interface RedisStreamsOptions {
  /** Who consumes: the beginning of every consumer's name, e.g. the name of the service. */
  service: string;
  /** Whether this process consumes. `false` where it only publishes: classes with `@StreamConsumer` are built, but nothing is read. @default true */
  consumers?: boolean;
  /**
   * How long an entry stays with a consumer that does not renew it, before another one takes it. A living consumer renews what it holds every third
   * of it, so handlers may take longer. A failed entry is tried again after about this time. @default '30s'
   */
  minIdle?: Duration;
  /** How often entries of dead consumers, and failed ones, are looked for. @default half of minIdle, at most '5s' */
  claimInterval?: Duration;
  /** How long one read waits for entries. Finite, so that a half-open connection is noticed. @default '5s' */
  block?: Duration;
  /** How long handlers may take to finish at shutdown. What is left stays pending, for others. @default '10s' */
  drainTimeout?: Duration;
  /** How long a `publish` may take, waiting for a connection included. @default '2s' */
  publishTimeout?: Duration;
  /** How long a published `messageId` is remembered. @default '10m' */
  deduplicationWindow?: Duration;
  /**
   * How often a failing message is tried in all before it becomes a dead letter, and how long it waits before the next attempt; also per handler.
   * @default { attempts: 5, backoff: exponential('1s', { max: '5m' }) }
   */
  retry?: RetryOptions;
  /**
   * How often an entry is delivered without an outcome. One delivered more often than that may kill its consumers: it is tried, no other such one beside it in this process, and becomes a dead letter
   * when three trials have not come to an end. @default 10
   */
  maxDeliveries?: number;
  deadLetters?: {
    /** About how many dead letters a group keeps; older ones are dropped. @default 100000 */
    maxLen?: number;
  };
  /** The longest payload, encoded, in bytes. Refused by `publish`. @default 1048576 (1 MiB) */
  maxPayloadBytes?: number;
  /**
   * Payloads of at least so many bytes are compressed; `false` for none. Consumers read both, of this version on: leave it `false` until all of them run it.
   * @default 8192 (8 KiB)
   */
  compressFrom?: number | false;
  /**
   * Headers for every message, asked for at each `publish`: the tenant of the request, or a trace where there is no `@opentelemetry/api` (with it, `traceparent` is there
   * by itself). A message's own headers win. @default none
   */
  headers?: () => MessageHeaders | undefined;
  /** How often streams with a `retention` are trimmed; with more than five of them (or of their partitions) less often. @default '10s' */
  retentionInterval?: Duration;
  /** How long after a consumer was heard of for the last time its record is removed from the group, if nothing is pending under it. At least ten times `block`. @default '1h' */
  forgetConsumersAfter?: Duration;
  /** How many bytes of messages a consumer holds at most, waiting ones included; one message may be larger. @default 33554432 (32 MiB) */
  maxHeldBytes?: number;
  /** Whether the application's global guards, pipes, interceptors and filters apply to stream handlers. @default false */
  globalEnhancers?: boolean;
}

/** Complete, checked, frozen. Durations are milliseconds. */
export interface ResolvedStreamsOptions {
  readonly service: string;
  readonly consumers: boolean;
  readonly minIdleMs: number;
  readonly claimIntervalMs: number;
  readonly blockMs: number;
  readonly drainTimeoutMs: number;
  readonly publishTimeoutMs: number;
  readonly deduplicationWindowMs: number;
  readonly retry: RetryPolicy;
  readonly maxDeliveries: number;
  readonly deadLettersMaxLen: number;
  readonly maxPayloadBytes: number;
  /** `Infinity`: nothing is compressed. */
  readonly compressFrom: number;
  readonly headers: (() => MessageHeaders | undefined) | undefined;
  readonly retentionIntervalMs: number;
  readonly maxHeldBytes: number;
  readonly forgetConsumersAfterMs: number;
  readonly globalEnhancers: boolean;
  /** How often what a consumer holds is renewed: two renewals may fail before it can be taken away. */
  readonly renewEveryMs: number;
  /** The budget of a command of the background work. */
  readonly commandTimeoutMs: number;
}

const defaults = {
  consumers: true,
  minIdle: '30s',
  block: '5s',
  drainTimeout: '10s',
  publishTimeout: '2s',
  deduplicationWindow: '10m',
  retry: {},
  maxDeliveries: 10,
  deadLetters: { maxLen: 100_000 },
  maxPayloadBytes: 1024 * 1024,
  compressFrom: 8 * 1024,
  retentionInterval: '10s',
  maxHeldBytes: 32 * 1024 * 1024,
  forgetConsumersAfter: '1h',
  globalEnhancers: false,
} as const satisfies Omit<Required<RedisStreamsOptions>, 'service' | 'claimInterval' | 'headers'>;

/** What Redis takes as one value. */
const largestValue = 512 * 1024 * 1024;
const longestClaimIntervalMs = 5_000;
const where = 'RedisStreamsModule';

/** The one place where raw options become {@link ResolvedStreamsOptions}. @throws OptionsError */
export function resolveStreamsOptions(raw: RedisStreamsOptions): ResolvedStreamsOptions {
  checkKnownKeys(raw, ['service', 'claimInterval', 'headers', ...Object.keys(defaults)], where);
  const deadLetters = { ...defaults.deadLetters, ...raw.deadLetters };
  checkKnownKeys(deadLetters, Object.keys(defaults.deadLetters), `${where}.deadLetters`);
  const minIdleMs = durationMs(raw.minIdle ?? defaults.minIdle, `${where}.minIdle`, { min: 100 });
  const { publishTimeout = defaults.publishTimeout, deduplicationWindow = defaults.deduplicationWindow } = raw;
  const { compressFrom = defaults.compressFrom, retentionInterval = defaults.retentionInterval } = raw;
  const blockMs = durationMs(raw.block ?? defaults.block, `${where}.block`, { min: 10, max: 60_000 });
  return Object.freeze({
    service: checkText(raw.service, `${where}.service`),
    consumers: checkBoolean(raw.consumers ?? defaults.consumers, `${where}.consumers`),
    minIdleMs,
    claimIntervalMs: durationMs(
      raw.claimInterval ?? Math.min(Math.ceil(minIdleMs / 2), longestClaimIntervalMs),
      `${where}.claimInterval`,
      { min: 10 },
    ),
    blockMs,
    drainTimeoutMs: durationMs(raw.drainTimeout ?? defaults.drainTimeout, `${where}.drainTimeout`, { min: 0 }),
    publishTimeoutMs: durationMs(publishTimeout, `${where}.publishTimeout`),
    deduplicationWindowMs: durationMs(deduplicationWindow, `${where}.deduplicationWindow`),
    retry: resolveRetry(raw.retry ?? defaults.retry, `${where}.retry`),
    maxDeliveries: checkInteger(raw.maxDeliveries ?? defaults.maxDeliveries, `${where}.maxDeliveries`, 1, 100_000),
    deadLettersMaxLen: checkInteger(deadLetters.maxLen, `${where}.deadLetters.maxLen`, 1, Number.MAX_SAFE_INTEGER),
    maxPayloadBytes: checkInteger(
      raw.maxPayloadBytes ?? defaults.maxPayloadBytes,
      `${where}.maxPayloadBytes`,
      1,
      largestValue,
    ),
    compressFrom:
      compressFrom === false ? Infinity : checkInteger(compressFrom, `${where}.compressFrom`, 1, largestValue),
    headers: raw.headers === undefined ? undefined : checkFunction(raw.headers, `${where}.headers`),
    retentionIntervalMs: durationMs(retentionInterval, `${where}.retentionInterval`, { min: 100 }),
    forgetConsumersAfterMs: durationMs(
      raw.forgetConsumersAfter ?? defaults.forgetConsumersAfter,
      `${where}.forgetConsumersAfter`,
      { min: 10 * blockMs },
    ),
    maxHeldBytes: checkInteger(raw.maxHeldBytes ?? defaults.maxHeldBytes, `${where}.maxHeldBytes`, 1, 2 ** 40),
    globalEnhancers: checkBoolean(raw.globalEnhancers ?? defaults.globalEnhancers, `${where}.globalEnhancers`),
    renewEveryMs: Math.max(30, Math.floor(minIdleMs / 3)),
    commandTimeoutMs: Math.min(2_000, Math.max(250, Math.floor(minIdleMs / 3))),
  });
}
