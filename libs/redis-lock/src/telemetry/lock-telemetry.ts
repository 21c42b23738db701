import type { Clock } from '@redstart/redis-core';
import { lockChannel, type LockEvent, type LockHappening, type LockKind } from './lock-events.js';
import { CallStory, type LockStory, type ToldCall } from './lock-story.js';
import { LockCounters, type LockStats } from './lock-stats.js';

/** Whose telemetry it is. */
interface Origin {
  /** The name of the RedisLockModule. */
  readonly module: string;
  /** The name of the connection. */
  readonly connection: string;
}

/** Counts what one LockService does and publishes it. While nobody listens it only counts. */
export class LockTelemetry {
  readonly counters = new LockCounters();

  constructor(
    private readonly origin: Origin,
    private readonly clock: Clock,
  ) {}

  /** Whether an event would be heard. Asked first, so that nothing is built for nobody. */
  get heard(): boolean {
    return lockChannel.hasSubscribers;
  }

  /** A call asks for a lock. What becomes of it goes to the story. */
  begin(kind: LockKind, call: ToldCall, askedAt: number): LockStory {
    return new CallStory(this, this.clock, kind, call, askedAt);
  }

  forced(kind: LockKind): void {
    this.counters.add('forced');
    if (this.heard) this.publish(kind, undefined, { event: 'forced' });
  }

  /** A nested call runs under the lock that it was called under. */
  reentered(kind: LockKind, label: string | undefined, waitedMs: number): void {
    this.counters.add('reentered');
    if (this.heard) this.publish(kind, label, { event: 'reentered', waitedMs });
  }

  publish(kind: LockKind, label: string | undefined, happening: LockHappening): void {
    const event: LockEvent = Object.freeze({ ...this.origin, kind, label, ...happening });
    lockChannel.publish(event);
  }

  stats(): LockStats {
    return this.counters.snapshot();
  }
}
