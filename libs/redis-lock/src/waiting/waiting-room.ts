import type { Cancel, Clock, SubscriberHub, Subscription } from '@redstart/redis-core';
import { Gathering } from '../gathering.js';
import type { Contender } from '../lease.js';
import { Waiter } from './waiter.js';

interface Ear {
  readonly subscription: Promise<Subscription>;
  readonly waiters: Set<Waiter>;
  /** Nobody needs it at present, and it will be closed then. */
  closing: Cancel | undefined;
}

/**
 * Where the waiters of one LockService hear that a lock was handed to them.
 *
 * A waiter enters before its first command, because a message may overtake the reply. The channel is listened to from the first time that a waiter
 * needs it: with one channel for all locks (server, Sentinel) until the end of the application, with one per lock (Cluster) until some time
 * after its last waiter has left. Until Redis has confirmed it, and after every gap, hand-offs pass this process over; so at that
 * moment all its waiters look for themselves.
 *
 * After `close` nobody can wait any more.
 */
export class WaitingRoom {
  /** Everybody who is here. */
  readonly #waiters = new Gathering<Waiter>();
  /** By owner, those who really wait. */
  readonly #listeners = new Map<string, Waiter>();
  readonly #ears = new Map<string, Ear>();
  #closed: { readonly reasonFor: (waiter: Waiter) => Error } | undefined;
  /** Hears of every waiter that has left, during `close`. */
  #onLeave: (() => void) | undefined;

  constructor(
    private readonly hub: SubscriberHub,
    private readonly clock: Clock,
    private readonly lingerMs: number,
  ) {}

  /** How many calls are on their way to a lock. */
  get size(): number {
    return this.#waiters.size;
  }

  enter(contender: Pick<Contender, 'owner' | 'key' | 'channel'>): Waiter {
    const waiter = new Waiter(contender, this.clock);
    this.#waiters.add(waiter);
    return waiter;
  }

  /** Makes sure that the waiter hears of a hand-off, now or soon. */
  listen(waiter: Waiter): void {
    if (this.#closed !== undefined) {
      waiter.stop(this.#closed.reasonFor(waiter));
      return;
    }
    const ear = this.#ears.get(waiter.channel) ?? this.#open(waiter.channel);
    ear.closing?.();
    ear.closing = undefined;
    ear.waiters.add(waiter);
    waiter.listening = true;
    this.#listeners.set(waiter.owner, waiter);
  }

  leave(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    this.#onLeave?.();
    if (!waiter.listening) return; // As nearly all: what they wanted was free.
    this.#listeners.delete(waiter.owner);
    const ear = this.#ears.get(waiter.channel);
    if (ear?.waiters.delete(waiter) !== true || ear.waiters.size > 0) return;
    ear.closing = this.clock.after(
      this.lingerMs,
      () => {
        this.#shut(waiter.channel, ear);
      },
      { unref: true },
    );
  }

  /** Ends every wait, and every later one where it would begin; free locks can still be taken. Resolves when all who are here have left. */
  async close(reasonFor: (waiter: Waiter) => Error): Promise<void> {
    this.#closed ??= { reasonFor };
    for (const { waiters, closing } of this.#ears.values()) {
      closing?.();
      for (const waiter of waiters) waiter.stop(reasonFor(waiter));
    }
    const here = [...this.#waiters];
    await new Promise<void>((resolve) => {
      this.#onLeave = () => {
        if (!here.some((waiter) => this.#waiters.has(waiter))) resolve();
      };
      this.#onLeave();
    });
  }

  #open(channel: string): Ear {
    const waiters = new Set<Waiter>();
    const wakeAll = () => {
      for (const waiter of waiters) waiter.lookAgain();
    };
    const subscription = this.hub.subscribe(channel, {
      onMessage: (message) => {
        this.#deliver(message);
      },
      onGap: wakeAll,
    });
    const ear: Ear = { subscription, waiters, closing: undefined };
    this.#ears.set(channel, ear);
    subscription.then(wakeAll, () => {
      // Redis does not let us listen: waiters go by their timers, and the next one that looks in vain tries again.
      if (this.#ears.get(channel) === ear) this.#ears.delete(channel);
    });
    return ear;
  }

  #shut(channel: string, ear: Ear): void {
    this.#ears.delete(channel);
    ear.subscription
      .then((subscription) => subscription.close())
      .catch(() => {
        // It was never opened, or its socket has gone: nothing is left to close.
      });
  }

  /** The message may have overtaken the answer to its first question, which says that it has to wait. */
  #newcomer(owner: string): Waiter | undefined {
    for (const waiter of this.#waiters) if (waiter.owner === owner) return waiter;
    return undefined;
  }

  #deliver(message: string): void {
    const [owner = '', fence, serverMs, claimMs, ...key] = message.split(' ');
    const waiter = this.#listeners.get(owner) ?? this.#newcomer(owner);
    // Nobody waits any more: whoever gave up passes the lock on by itself. Or the owner has gone on to the next of several locks.
    if (waiter?.key !== key.join(' ')) return;
    waiter.receive({
      fencingToken: Number(fence),
      serverMs: Number(serverMs),
      claimMs: Number(claimMs),
    });
  }
}
