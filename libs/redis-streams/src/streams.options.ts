import { checkBoolean, checkInteger, checkKnownKeys, checkText, durationMs, type Duration } from '@redstart/redis-core';

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
  retry?: {
    /** How often a failing entry is tried in all, before it becomes a dead letter. @default 5 */
    attempts?: number;
  };
  /**
   * How often an entry is delivered in all. One delivered more often than that killed its consumers, and becomes a dead letter unseen. At least
   * `retry.attempts`. @default 10
   */
  maxDeliveries?: number;
  deadLetters?: {
    /** About how many dead letters a group keeps; older ones are dropped. @default 100000 */
    maxLen?: number;
  };
  /** The longest payload, encoded, in bytes. Refused by `publish`. @default 1048576 (1 MiB) */
  maxPayloadBytes?: number;
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
  readonly attempts: number;
  readonly maxDeliveries: number;
  readonly deadLettersMaxLen: number;
  readonly maxPayloadBytes: number;
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
  retry: { attempts: 5 },
  maxDeliveries: 10,
  deadLetters: { maxLen: 100_000 },
  maxPayloadBytes: 1024 * 1024,
  globalEnhancers: false,
} as const satisfies Omit<Required<RedisStreamsOptions>, 'service' | 'claimInterval'>;

const longestClaimIntervalMs = 5_000;
const where = 'RedisStreamsModule';

/** The one place where raw options become {@link ResolvedStreamsOptions}. @throws OptionsError */
export function resolveStreamsOptions(raw: RedisStreamsOptions): ResolvedStreamsOptions {
  checkKnownKeys(raw, ['service', 'claimInterval', ...Object.keys(defaults)], where);
  const retry = { ...defaults.retry, ...raw.retry };
  checkKnownKeys(retry, Object.keys(defaults.retry), `${where}.retry`);
  const deadLetters = { ...defaults.deadLetters, ...raw.deadLetters };
  checkKnownKeys(deadLetters, Object.keys(defaults.deadLetters), `${where}.deadLetters`);
  const minIdleMs = durationMs(raw.minIdle ?? defaults.minIdle, `${where}.minIdle`, { min: 100 });
  const attempts = checkInteger(retry.attempts, `${where}.retry.attempts`, 1, 10_000);
  const { publishTimeout = defaults.publishTimeout, deduplicationWindow = defaults.deduplicationWindow } = raw;
  return Object.freeze({
    service: checkText(raw.service, `${where}.service`),
    consumers: checkBoolean(raw.consumers ?? defaults.consumers, `${where}.consumers`),
    minIdleMs,
    claimIntervalMs: durationMs(
      raw.claimInterval ?? Math.min(Math.ceil(minIdleMs / 2), longestClaimIntervalMs),
      `${where}.claimInterval`,
      { min: 10 },
    ),
    blockMs: durationMs(raw.block ?? defaults.block, `${where}.block`, { min: 10, max: 60_000 }),
    drainTimeoutMs: durationMs(raw.drainTimeout ?? defaults.drainTimeout, `${where}.drainTimeout`, { min: 0 }),
    publishTimeoutMs: durationMs(publishTimeout, `${where}.publishTimeout`),
    deduplicationWindowMs: durationMs(deduplicationWindow, `${where}.deduplicationWindow`),
    attempts,
    maxDeliveries: checkInteger(
      raw.maxDeliveries ?? Math.max(defaults.maxDeliveries, attempts),
      `${where}.maxDeliveries`,
      attempts,
      100_000,
    ),
    deadLettersMaxLen: checkInteger(deadLetters.maxLen, `${where}.deadLetters.maxLen`, 1, Number.MAX_SAFE_INTEGER),
    maxPayloadBytes: checkInteger(
      raw.maxPayloadBytes ?? defaults.maxPayloadBytes,
      `${where}.maxPayloadBytes`,
      1,
      512 * 1024 * 1024,
    ),
    globalEnhancers: checkBoolean(raw.globalEnhancers ?? defaults.globalEnhancers, `${where}.globalEnhancers`),
    renewEveryMs: Math.max(30, Math.floor(minIdleMs / 3)),
    commandTimeoutMs: Math.min(2_000, Math.max(250, Math.floor(minIdleMs / 3))),
  });
}
