import { Logger } from '@nestjs/common';
import {
  RedisUnavailableError,
  type Clock,
  type Key,
  type RedisCall,
  type RedisConnection,
  type RenewalGroup,
  type Script,
  type ScriptArgument,
} from '@redstart/redis-core';
import { Extensions } from './extensions.js';
import type { HeldLock } from './held-lock.js';
import { HeldLocks } from './held-locks.js';
import {
  lockKeys,
  readWriteKeys,
  semaphoreKeys,
  type LockKeys,
  type ReadWriteKeys,
  type SemaphoreKeys,
} from './keys.js';
import {
  resolveHoldingCall,
  resolveLockCall,
  type HoldingOptions,
  type LockCallFallback,
  type LockCallOptions,
  type ResolvedHoldingCall,
  type ResolvedLockCall,
  type ResolvedLockOptions,
} from './lock.options.js';
import { MutexBatches } from './mutex/mutex-batches.js';
import { newMailbox } from './owner.js';
import { LockTelemetry } from './telemetry/lock-telemetry.js';
import { WaitingRoom } from './waiting/waiting-room.js';

/** For how long the channel of a lock is listened to without need, so that a busy lock on Cluster doesn't subscribe each time. */
const lingerMs = 30_000;

/** So many leases are cleared up however long Redis is away. */
const mostUnbounded = 1_000;

/** What everything of one LockService shares: its connection, its options, its address, its waiters and its held locks. */
export class LockRuntime {
  /** Where hand-offs for this service arrive. */
  readonly mailbox = newMailbox();
  readonly clock: Clock;
  readonly waitingRoom: WaitingRoom;
  readonly telemetry: LockTelemetry;
  /** For the end of the application: whatever is still held then is given back. */
  readonly held: HeldLocks<HeldLock>;
  /** All locks of a service are renewed as one group, so that those which are due together leave in one script. */
  readonly renewals: RenewalGroup<HeldLock> = {
    // Each by itself: one that fails must not have the others taken for finished.
    renew: async (locks) => {
      await this.#together(() => Promise.all(locks.map((lock) => this.#renew(lock))));
    },
  };
  readonly extensions = new Extensions(this);
  readonly mutexes = new MutexBatches(this);
  /** Of a quorum: each with a connection of its own, this one the first. Otherwise it is the only one. */
  readonly nodes: readonly LockRuntime[];
  /** What a call takes where neither it nor the way in which it is made says otherwise. */
  readonly #callDefaults: LockCallFallback;
  readonly #logger = new Logger('RedisLock');
  readonly #duties = new Set<Promise<void>>();
  #closing = false;

  constructor(
    readonly connection: RedisConnection,
    readonly options: ResolvedLockOptions,
    otherNodes: readonly RedisConnection[] = [],
  ) {
    this.nodes = [this, ...otherNodes.map((node) => new LockRuntime(node, options))];
    this.clock = connection.clock;
    this.held = new HeldLocks(this.clock);
    this.#callDefaults = { ...options, autoExtend: false };
    this.telemetry = new LockTelemetry({ module: options.name, connection: connection.name }, this.clock);
    this.waitingRoom = new WaitingRoom(connection.subscriber, this.clock, connection.cluster ? lingerMs : Infinity);
  }

  /**
   * How the scripts publish. Before Redis 7 a Cluster refuses SPUBLISH, and that is as it should be: its PUBLISH reaches listeners of other nodes, but counts
   * only its own. A waiter would then hear of a lock that was not given to it. Unheard, waiters go by their timers.
   */
  get publishCommand(): 'PUBLISH' | 'SPUBLISH' {
    return this.connection.cluster ? 'SPUBLISH' : 'PUBLISH';
  }

  keysOf(key: Key): LockKeys {
    return lockKeys(this.connection.keys, key, this.connection.cluster);
  }

  readWriteKeysOf(key: Key): ReadWriteKeys {
    return readWriteKeys(this.connection.keys, key, this.connection.cluster);
  }

  semaphoreKeysOf(key: Key): SemaphoreKeys {
    return semaphoreKeys(this.connection.keys, key, this.connection.cluster);
  }

  /** @param fallback where a call differs from the module, which does not renew by itself and waits as long as it is configured to */
  resolveCall(raw: LockCallOptions, where: string, fallback?: Partial<LockCallFallback>): ResolvedLockCall {
    const defaults = this.#callDefaults;
    return resolveLockCall(raw, fallback === undefined ? defaults : { ...defaults, ...fallback }, where);
  }

  /** The same for calls that run work under the lock. */
  resolveHoldingCall(raw: HoldingOptions, where: string, fallback: Partial<LockCallFallback>): ResolvedHoldingCall {
    return resolveHoldingCall(raw, { ...this.#callDefaults, ...fallback }, where);
  }

  /** Runs a script after everything that was asked for before. @param essential see {@link RedisCall} */
  run<Result>(
    operation: string,
    ttlMs: number,
    script: Script<Result>,
    keys: readonly string[],
    args: readonly ScriptArgument[],
    essential = false,
  ): Promise<Result> {
    this.mutexes.flush();
    return this.send(operation, ttlMs, script, keys, args, essential);
  }

  /** The same for what is in an order of its own already. */
  send<Result>(
    operation: string,
    ttlMs: number,
    script: Script<Result>,
    keys: readonly string[],
    args: readonly ScriptArgument[],
    essential = false,
  ): Promise<Result> {
    const call: RedisCall = { library: 'redis-lock', operation, budgetMs: this.options.budgetMs(ttlMs), essential };
    return this.connection.scripts.run(call, script, keys, args);
  }

  /**
   * Clears what a call may have left, in the background, again and again until Redis has answered. A Redis that stands still carries out what waits there when it
   * goes on, however long that takes, and a lease begins only then.
   *
   * @param leaseMs where very many wait to be cleared, each is tried for as long as its lease only: nobody may pile up work without end
   */
  clearUp(work: () => Promise<unknown>, leaseMs: number): void {
    this.insist(work, this.#duties.size < mostUnbounded ? Infinity : leaseMs);
  }

  /**
   * Does something in the background, again and again until Redis has answered, for at most `forMs`: after that it is of no use any more. The lease of a lock that was
   * held, for one, has lapsed by then: an extension that waits at a Redis which stands still does not bring it back.
   */
  insist(work: () => Promise<unknown>, forMs: number): void {
    const duty = this.#repeat(work, forMs).finally(() => this.#duties.delete(duty));
    this.#duties.add(duty);
  }

  /** What is being insisted on is tried to the end of its present attempt, and no longer. */
  async finishDuties(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#duties);
  }

  #together<T>(work: () => T): T {
    return this.nodes.reduce(
      (inner, { extensions }) =>
        () =>
          extensions.together(inner),
      work,
    )();
  }

  async #renew(lock: HeldLock): Promise<void> {
    try {
      await lock.renew();
    } catch (error) {
      // No outage, so it would fail each time: a key of another type, a missing permission, a defect. The deadline of the lock stands.
      const reason = error instanceof Error ? error.message : String(error);
      this.#logger.error(`Lock "${lock.key}" was not renewed: ${reason}`);
    }
  }

  async #repeat(work: () => Promise<unknown>, forMs: number): Promise<void> {
    const until = this.clock.now() + forMs;
    for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, 2_000)) {
      try {
        await work();
        return;
      } catch (error) {
        // Anything but an outage would fail again. Either way the failure was published on `redstart:operation`.
        if (!(error instanceof RedisUnavailableError) || this.#closing || this.clock.now() + pauseMs > until) return;
      }
      await new Promise<void>((resolve) => {
        this.clock.after(pauseMs, resolve, { unref: true });
      });
    }
  }
}
