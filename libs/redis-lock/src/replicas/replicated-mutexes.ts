import { OptionsError } from '@redstart/redis-core';
import type { HeldLock } from '../held-lock.js';
import type { LockKeys } from '../keys.js';
import type { AcquireOutcome } from '../lease.js';
import { LockLostError } from '../lock.errors.js';
import { LockNotReplicatedError } from './replicas.errors.js';
import type { LockRuntime } from '../lock-runtime.js';
import type { ResolvedLockCall } from '../lock.options.js';
import { acquireMutexes, attemptAt } from '../mutex/acquire-mutexes.js';
import { MasterMutexes } from '../mutex/master-mutexes.js';
import { UnconfirmedStory } from '../telemetry/unconfirmed-story.js';
import { ReplicaConfirmation } from './replica-confirmation.js';

/**
 * Mutexes on one master that are granted only when enough replicas know of them, so that a failover does not forget them. What too few have confirmed in time
 * is given back.
 */
export class ReplicatedMutexes extends MasterMutexes {
  readonly #confirmation: ReplicaConfirmation;

  /** @throws OptionsError on a Cluster */
  constructor(runtime: LockRuntime) {
    super(runtime);
    if (runtime.connection.cluster) {
      throw new OptionsError(
        'RedisLockModule.replicas',
        'is not possible on a Cluster, where the keys of a lock may have several masters. Use one master with replicas, or nodes.',
      );
    }
    this.#confirmation = new ReplicaConfirmation(runtime);
  }

  override async acquire(locks: readonly LockKeys[], call: ResolvedLockCall): Promise<AcquireOutcome<HeldLock>> {
    const attempt = attemptAt(this.runtime, locks, call);
    const story = new UnconfirmedStory(attempt.story);
    const outcome = await acquireMutexes(this.runtime, locks, call, { ...attempt, story });
    if (outcome.lock !== undefined) await this.#confirm(outcome.lock, attempt.owner, call, story);
    return outcome;
  }

  async #confirm(lock: HeldLock, owner: string, { ttlMs }: ResolvedLockCall, story: UnconfirmedStory): Promise<void> {
    const { options } = this.runtime;
    try {
      const { held, replicas } = await this.#confirmation.confirm({ keys: lock.keys, owner, ttlMs });
      if (!held) throw new LockLostError(lock.key, 'taken');
      if (replicas < options.replicas) throw new LockNotReplicatedError(lock.key, options.replicas, replicas);
      lock.assertHeld();
      story.confirmed();
    } catch (error) {
      story.failed(error);
      lock.abandon();
      throw error;
    }
  }
}
