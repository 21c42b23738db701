export {
  RedisLockModule,
  type RedisLockModuleAsyncOptions,
  type RedisLockModuleIdentity,
  type RedisLockModuleOptions,
} from './lock.module.js';
export type { LockCallOptions, RedisLockOptions } from './lock.options.js';
export { getLockToken, InjectLock } from './lock.tokens.js';
export { LockService, type LockState } from './lock.service.js';
export type { Leadership } from './leader/election.js';
export type { LeaderOptions, RevocationReason } from './leader/leader.options.js';
export type { Lock } from './lock.js';
export type { LockKey } from './keys.js';
export type { LockHolder } from './owner.js';
export type { ReadWriteLock, ReadWriteState } from './read-write/read-write-lock.js';
export type { WriteLock } from './read-write/write-lock.js';
export type { Permit, PermitOptions, Semaphore, SemaphoreOptions, SemaphoreState } from './semaphore/semaphore.js';
export { currentLock } from './run-holding.js';
export { WithLock, type WithLockOptions } from './decorators/with-lock.js';
export { CronLock, type CronLockOptions } from './decorators/cron-lock.js';
export {
  LockError,
  LockLostError,
  LockNestingError,
  LockNotAcquiredError,
  LockNotReplicatedError,
  LockQuorumError,
  LockTimeoutError,
  SemaphoreLimitError,
  type LockLossReason,
  type QuorumShortage,
} from './lock.errors.js';
