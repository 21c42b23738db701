import {
  checkBoolean,
  checkInteger,
  checkKnownKeys,
  checkText,
  durationMs,
  OptionsError,
  type Duration,
} from '@redstart/redis-core';
import type { LockKind } from './telemetry/lock-events.js';

/** Options of `RedisLockModule`. `connection` and `name` stand beside them: see {@link RedisLockModuleOptions}. */
export interface RedisLockOptions {
  /** How long a lock lives without renewal: the longest time that a killed holder keeps others out. At least 100 ms. @default '30s' */
  ttl?: Duration;
  /** How long `acquire`, `withLock` and `@WithLock` wait for a held lock; 0 does not wait. @default '10s' */
  waitTimeout?: Duration;
  /**
   * How long one command to Redis may take. With `nodes` a node that takes longer counts as down, and never more than a quarter of the ttl is spent on it.
   * @default a tenth of the ttl, at least 25 ms and at most 1 s; with `nodes` 5 % of the ttl, at least 25 ms and at most 250 ms
   */
  commandTimeout?: Duration;
  /** How long a place in the queue is kept for a waiter that shows no sign of life. @default '5s' */
  queueLease?: Duration;
  /** How long a lock that was handed to a waiter is reserved, until that waiter confirms it. @default '2s' */
  claimTtl?: Duration;
  /** What holders of this application call themselves, for {@link LockService.inspect} and errors of others. Up to 100 characters. */
  label?: string;
  /**
   * How many replicas have to confirm a lock (`WAIT`) before it is yours: one that a failover would forget is given back, and the call rejects with
   * LockNotReplicatedError. For mutexes on one master with replicas; not on Cluster, and not with `nodes`. @default 0
   */
  replicas?: number;
  /**
   * With `nodes`: how long a node that remembers nothing (restarted empty, flushed, new, or unused for 30 days) takes no part in new locks. Set it to the longest
   * ttl in use, unless the nodes persist every write: a node that has forgotten a lock could help a second holder to it. @default 0
   */
  restartDelay?: Duration;
}

export interface ResolvedLockOptions {
  /** The name of the module. */
  readonly name: string;
  readonly ttlMs: number;
  readonly waitTimeoutMs: number;
  readonly queueLeaseMs: number;
  readonly claimTtlMs: number;
  readonly label: string | undefined;
  readonly replicas: number;
  readonly restartDelayMs: number;
  /** The budget of one command for a lock of this ttl. */
  budgetMs(ttlMs: number): number;
}

/** Options of one `acquire`, `tryAcquire` or `withLock`; what is missing is taken from the module. */
export interface LockCallOptions {
  /**
   * How long the lock lives without renewal. At least 100 ms.
   * @default that of the module; longer if `minHold` is, and shorter if `maxHold` is and the lock is renewed
   */
  ttl?: Duration;
  /** How long to wait for a held lock; 0 does not wait. */
  waitTimeout?: Duration;
  /** Renews the lock every third of its ttl. Default: `true` in `withLock` and `@WithLock`, otherwise `false`. */
  autoExtend?: boolean;
  /** Gives up waiting; the call rejects with the signal's reason. Does nothing once the lock is held. */
  signal?: AbortSignal;
  /**
   * A release before this time leaves the lock taken until then: for work that must not run again too soon. Starts with the acquisition. So
   * does a loss, as far as the lock is still ours in Redis; and a killed process, if the ttl is no shorter.
   * @default 0
   */
  minHold?: Duration;
  /** The lock is lost after this time, renewed or not: for work that may hang. At least 100 ms. @default none */
  maxHold?: Duration;
  /** What the holder calls itself, for {@link LockService.inspect} and errors of others. Up to 100 characters. @default that of the module */
  label?: string;
}

/** Options of one `withLock` or `tryWithLock`. */
export interface HoldingOptions extends LockCallOptions {
  /**
   * Runs under the lock that this call was made under, when it has all of these keys: by `withLock` or `@WithLock` of the same LockService,
   * through any number of calls and awaits. Nothing is sent to Redis then, and of the options only `waitTimeout` and `signal` matter, since nested calls of
   * one call take turns. @default false
   */
  reentrant?: boolean;
}

export interface ResolvedLockCall {
  readonly ttlMs: number;
  readonly waitTimeoutMs: number;
  readonly autoExtend: boolean;
  readonly signal: AbortSignal | undefined;
  readonly minHoldMs: number;
  /** `Infinity` without a limit. */
  readonly maxHoldMs: number;
  readonly label: string | undefined;
  /** As what telemetry tells of it, where what is taken doesn't say: an election takes a mutex as well. */
  readonly kind?: LockKind;
}

export interface ResolvedHoldingCall extends ResolvedLockCall {
  readonly reentrant: boolean;
}

/** What a call takes where it says nothing itself. */
export type LockCallFallback = Pick<ResolvedLockCall, 'ttlMs' | 'waitTimeoutMs' | 'autoExtend' | 'label'>;

const defaults = {
  ttl: '30s',
  waitTimeout: '10s',
  queueLease: '5s',
  claimTtl: '2s',
} as const satisfies RedisLockOptions;
const moduleKeys = [
  'ttl',
  'waitTimeout',
  'commandTimeout',
  'queueLease',
  'claimTtl',
  'label',
  'replicas',
  'restartDelay',
];
/** What only a lock on one master knows: a quorum has no queue, and no master. */
const masterKeys = ['queueLease', 'claimTtl', 'replicas'] as const;
const callKeys = ['ttl', 'waitTimeout', 'autoExtend', 'signal', 'minHold', 'maxHold', 'label'];
const holdingKeys = [...callKeys, 'reentrant'];
const longestLabel = 100;
const shortestTtlMs = 100;
const mostReplicas = 100;

/**
 * @param quorum over several nodes
 * @throws OptionsError for an unknown option or a wrong value
 */
export function resolveLockOptions(raw: RedisLockOptions, name = 'default', quorum = false): ResolvedLockOptions {
  const where = moduleName(name);
  checkKnownKeys(raw, moduleKeys, where);
  if (quorum) refuseMasterKeys(raw, where);
  else if (raw.restartDelay !== undefined) throw new OptionsError(`${where}.restartDelay`, 'takes nodes as well.');
  const {
    ttl,
    waitTimeout,
    queueLease,
    claimTtl,
    commandTimeout,
    label,
    replicas = 0,
    restartDelay = 0,
  } = { ...defaults, ...defined(raw) };
  const commandTimeoutMs =
    commandTimeout === undefined ? undefined : durationMs(commandTimeout, `${where}.commandTimeout`);
  return Object.freeze({
    name,
    ttlMs: lockTtlMs(ttl, `${where}.ttl`),
    waitTimeoutMs: durationMs(waitTimeout, `${where}.waitTimeout`, { min: 0 }),
    queueLeaseMs: durationMs(queueLease, `${where}.queueLease`, { min: 100 }),
    claimTtlMs: durationMs(claimTtl, `${where}.claimTtl`, { min: 100 }),
    label: checkLabel(label, `${where}.label`),
    replicas: checkInteger(replicas, `${where}.replicas`, 0, mostReplicas),
    restartDelayMs: durationMs(restartDelay, `${where}.restartDelay`, { min: 0 }),
    budgetMs: (ttlMs: number) =>
      quorum
        ? Math.min(commandTimeoutMs ?? clamp(ttlMs / 20, 25, 250), Math.max(1, Math.floor(ttlMs / 4)))
        : (commandTimeoutMs ?? clamp(ttlMs / 10, 25, 1_000)),
  });
}

/** The module as a message names it. */
export function moduleName(name = 'default'): string {
  return name === 'default' ? 'RedisLockModule' : `RedisLockModule "${name}"`;
}

function clamp(ms: number, leastMs: number, mostMs: number): number {
  return Math.min(mostMs, Math.max(leastMs, Math.floor(ms)));
}

function refuseMasterKeys(raw: RedisLockOptions, where: string): void {
  const [given] = masterKeys.filter((key) => raw[key] !== undefined);
  if (given === undefined) return;
  const reason = given === 'replicas' ? 'the nodes of a quorum are masters' : 'over several nodes there is no queue';
  throw new OptionsError(`${where}.${given}`, `can't be set together with nodes: ${reason}. Leave one of them out.`);
}

/** @throws OptionsError for an unknown option or a wrong value */
export function resolveLockCall(raw: LockCallOptions, fallback: LockCallFallback, where: string): ResolvedLockCall {
  checkKnownKeys(raw, callKeys, where);
  return resolveKnown(raw, fallback, where);
}

/** @throws OptionsError for an unknown option or a wrong value */
export function resolveHoldingCall(
  raw: HoldingOptions,
  fallback: LockCallFallback,
  where: string,
): ResolvedHoldingCall {
  checkKnownKeys(raw, holdingKeys, where);
  return resolveKnown(raw, fallback, where);
}

function resolveKnown(raw: HoldingOptions, fallback: LockCallFallback, where: string): ResolvedHoldingCall {
  const {
    ttl,
    waitTimeout,
    autoExtend = fallback.autoExtend,
    signal,
    minHold,
    maxHold,
    label,
    reentrant = false,
  } = raw;
  if (typeof autoExtend !== 'boolean') throw new OptionsError(`${where}.autoExtend`, 'expected true or false.');
  const { minHoldMs, maxHoldMs } = holdTimes(minHold, maxHold, where);
  // Unless it is renewed, the lease has to outlast maxHold: it is relied on for a little less than its ttl.
  const usualTtlMs = autoExtend ? Math.min(fallback.ttlMs, maxHoldMs) : fallback.ttlMs;
  return {
    ttlMs: ttl === undefined ? Math.max(minHoldMs, usualTtlMs) : lockTtlMs(ttl, `${where}.ttl`),
    waitTimeoutMs:
      waitTimeout === undefined ? fallback.waitTimeoutMs : durationMs(waitTimeout, `${where}.waitTimeout`, { min: 0 }),
    autoExtend,
    signal: checkSignal(signal, `${where}.signal`),
    minHoldMs,
    maxHoldMs,
    label: label === undefined ? fallback.label : checkLabel(label, `${where}.label`),
    reentrant: checkBoolean(reentrant, `${where}.reentrant`),
  };
}

function holdTimes(minHold: Duration | undefined, maxHold: Duration | undefined, where: string) {
  const minHoldMs = minHold === undefined ? 0 : durationMs(minHold, `${where}.minHold`, { min: 0 });
  const maxHoldMs = maxHold === undefined ? Infinity : lockTtlMs(maxHold, `${where}.maxHold`);
  if (minHoldMs > maxHoldMs) {
    throw new OptionsError(`${where}.minHold`, `${minHoldMs} ms is more than maxHold, ${maxHoldMs} ms.`);
  }
  return { minHoldMs, maxHoldMs };
}

/** By what is used of it, since the signals of another realm are instances of another class. */
function checkSignal(signal: AbortSignal | undefined, option: string): AbortSignal | undefined {
  const isSignal = typeof signal?.addEventListener === 'function' && typeof signal.throwIfAborted === 'function';
  if (signal === undefined || isSignal) return signal;
  throw new OptionsError(option, 'expected an AbortSignal; of an AbortController, pass its signal.');
}

function checkLabel(label: string | undefined, option: string): string | undefined {
  if (label === undefined) return undefined;
  if (checkText(label, option).length <= longestLabel && !/\p{Surrogate}/u.test(label)) return label;
  throw new OptionsError(
    option,
    `expected at most ${longestLabel} characters of well-formed text, got ${label.length}.`,
  );
}

/** A lease shorter than this would be eaten up by the network, the event loop and the margin for drift. */
export function lockTtlMs(ttl: Duration, option: string): number {
  return durationMs(ttl, option, { min: shortestTtlMs });
}

function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
