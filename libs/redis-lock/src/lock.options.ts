import { checkKnownKeys, durationMs, OptionsError, type Duration } from '@redstart/redis-core';

/** Options of `RedisLockModule`. `connection` and `name` stand beside them: see {@link RedisLockModuleOptions}. */
export interface RedisLockOptions {
  /** How long a lock lives without renewal: the longest time that a killed holder keeps others out. At least 100 ms. @default '30s' */
  ttl?: Duration;
  /** How long `acquire`, `withLock` and `@WithLock` wait for a held lock; 0 does not wait. @default '10s' */
  waitTimeout?: Duration;
  /** How long one command to Redis may take. @default a tenth of the ttl, at least 25 ms and at most 1 s */
  commandTimeout?: Duration;
  /** How long a place in the queue is kept for a waiter that shows no sign of life. @default '5s' */
  queueLease?: Duration;
  /** How long a lock that was handed to a waiter is reserved, until that waiter confirms it. @default '2s' */
  claimTtl?: Duration;
}

export interface ResolvedLockOptions {
  readonly ttlMs: number;
  readonly waitTimeoutMs: number;
  readonly queueLeaseMs: number;
  readonly claimTtlMs: number;
  /** The budget of one command for a lock of this ttl. */
  budgetMs(ttlMs: number): number;
}

/** Options of one `acquire`, `tryAcquire` or `withLock`; what is missing is taken from the module. */
export interface LockCallOptions {
  /** How long the lock lives without renewal. At least 100 ms. */
  ttl?: Duration;
  /** How long to wait for a held lock; 0 does not wait. */
  waitTimeout?: Duration;
  /** Renews the lock every third of its ttl. Default: `true` in `withLock` and `@WithLock`, otherwise `false`. */
  autoExtend?: boolean;
  /** Gives up waiting; the call rejects with the signal's reason. Does nothing once the lock is held. */
  signal?: AbortSignal;
}

export interface ResolvedLockCall {
  readonly ttlMs: number;
  readonly waitTimeoutMs: number;
  readonly autoExtend: boolean;
  readonly signal: AbortSignal | undefined;
}

const defaults = {
  ttl: '30s',
  waitTimeout: '10s',
  queueLease: '5s',
  claimTtl: '2s',
} as const satisfies RedisLockOptions;
const moduleKeys = ['ttl', 'waitTimeout', 'commandTimeout', 'queueLease', 'claimTtl'];
const callKeys = ['ttl', 'waitTimeout', 'autoExtend', 'signal'];
const shortestTtlMs = 100;

/** @throws OptionsError for an unknown option or a wrong value */
export function resolveLockOptions(raw: RedisLockOptions, name = 'default'): ResolvedLockOptions {
  const where = name === 'default' ? 'RedisLockModule' : `RedisLockModule "${name}"`;
  checkKnownKeys(raw, moduleKeys, where);
  const { ttl, waitTimeout, queueLease, claimTtl, commandTimeout } = { ...defaults, ...defined(raw) };
  const commandTimeoutMs =
    commandTimeout === undefined ? undefined : durationMs(commandTimeout, `${where}.commandTimeout`);
  return Object.freeze({
    ttlMs: lockTtlMs(ttl, `${where}.ttl`),
    waitTimeoutMs: durationMs(waitTimeout, `${where}.waitTimeout`, { min: 0 }),
    queueLeaseMs: durationMs(queueLease, `${where}.queueLease`, { min: 100 }),
    claimTtlMs: durationMs(claimTtl, `${where}.claimTtl`, { min: 100 }),
    budgetMs: (ttlMs: number) => commandTimeoutMs ?? Math.min(1_000, Math.max(25, Math.floor(ttlMs / 10))),
  });
}

/** @throws OptionsError for an unknown option or a wrong value */
export function resolveLockCall(
  raw: LockCallOptions,
  fallback: Omit<ResolvedLockCall, 'signal'>,
  where: string,
): ResolvedLockCall {
  checkKnownKeys(raw, callKeys, where);
  const { ttl, waitTimeout, autoExtend = fallback.autoExtend, signal } = raw;
  if (typeof autoExtend !== 'boolean') throw new OptionsError(`${where}.autoExtend`, 'expected true or false.');
  return {
    ttlMs: ttl === undefined ? fallback.ttlMs : lockTtlMs(ttl, `${where}.ttl`),
    waitTimeoutMs:
      waitTimeout === undefined ? fallback.waitTimeoutMs : durationMs(waitTimeout, `${where}.waitTimeout`, { min: 0 }),
    autoExtend,
    signal,
  };
}

/** A lease shorter than this would be eaten up by the network, the event loop and the margin for drift. */
export function lockTtlMs(ttl: Duration, option: string): number {
  return durationMs(ttl, option, { min: shortestTtlMs });
}

function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
