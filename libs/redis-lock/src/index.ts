export {
  RedisLockModule,
  type RedisLockModuleAsyncOptions,
  type RedisLockModuleIdentity,
  type RedisLockModuleOptions,
} from './lock.module.js';
export type { HoldingOptions, LockCallOptions, RedisLockOptions } from './lock.options.js';
export { defineFencedScript, type FencedScript, type FencedScriptDefinition } from './fencing/fenced-script.js';
export { provideNoopLock } from './noop/noop-lock.service.js';
export { getLockToken, InjectLock } from './lock.tokens.js';
export { LockService } from './lock.service.js';
export type { TryOutcome } from './lock-calls.js';
export type { LockState } from './lock-state.js';
export type { Leadership } from './leader/election.js';
export type { LeaderOptions, RevocationReason } from './leader/leader.options.js';
export type { Lock } from './lock.js';
export type { LockKey } from './keys.js';
export type { LockHolder } from './owner.js';
export type { ReadWriteLock, ReadWriteState } from './read-write/read-write-lock.js';
export type { WriteLock } from './read-write/write-lock.js';
export type { Permit, PermitOptions, Semaphore, SemaphoreOptions, SemaphoreState } from './semaphore/semaphore.js';
export { currentLock } from './run-holding.js';
export {
  lockChannel,
  onLockEvent,
  type LockEvent,
  type LockEventSource,
  type LockFailure,
  type LockHappening,
  type LockKind,
} from './telemetry/lock-events.js';
export type { LockStats } from './telemetry/lock-stats.js';
export { WithLock, type WithLockOptions } from './decorators/with-lock.js';
export { CronLock, type CronLockOptions } from './decorators/cron-lock.js';
export {
  LockError,
  LockLostError,
  LockNotAcquiredError,
  LockTimeoutError,
  type LockLossReason,
  type LockNesting,
} from './lock.errors.js';
export { ReadWriteNestingError } from './read-write/read-write.errors.js';
export { LockNotReplicatedError } from './replicas/replicas.errors.js';
export { LockQuorumError, type QuorumShortage } from './quorum/quorum.errors.js';
export { PartialReentryError } from './reentrancy/reentrancy.errors.js';
export { SemaphoreLimitError } from './semaphore/semaphore.errors.js';
export { StaleTokenError } from './fencing/fencing.errors.js';
