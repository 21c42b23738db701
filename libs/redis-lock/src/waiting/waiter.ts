import type { Clock } from '@redstart/redis-core';
import type { Member } from '../gathering.js';
import type { Contender } from '../lease.js';

/** The lock was handed over, as the message from the script of the last holder says. */
export interface HandOver {
  readonly fencingToken: number;
  /** When, on the server's clock. */
  readonly serverMs: number;
  /** For how long it was reserved: as whoever let go has it configured, not as we do. */
  readonly claimMs: number;
}

/**
 * One `acquire` of this process, from before its first command until it has the lock or has given up.
 *
 * - *looking*: a command is under way. A message that arrives meanwhile is kept.
 * - *asleep*: in `sleep`, until a hand-over, a call to look again, its timer, or `stop`.
 * - *stopped*: for good; the next `throwIfStopped` throws.
 */
export class Waiter implements Member {
  #handOver: HandOver | undefined;
  #lookAgain = false;
  #stopped: { readonly reason: unknown } | undefined;
  #wake: (() => void) | undefined;
  /** It hears of a hand-over, now or soon. */
  listening = false;
  place = -1;

  constructor(
    private readonly contender: Pick<Contender, 'owner' | 'key' | 'channel'>,
    private readonly clock: Clock,
  ) {}

  get owner(): string {
    return this.contender.owner;
  }

  /** The lock it wants. */
  get key(): string {
    return this.contender.key;
  }

  get channel(): string {
    return this.contender.channel;
  }

  /** The lock was given to this waiter. */
  receive(handOver: HandOver): void {
    this.#handOver = handOver;
    this.#wake?.();
  }

  /** Messages may have been missed. */
  lookAgain(): void {
    this.#lookAgain = true;
    this.#wake?.();
  }

  stop(reason: unknown): void {
    this.#stopped ??= { reason };
    this.#wake?.();
  }

  throwIfStopped(): void {
    // Whatever the user's signal was aborted with is passed on as it is.
    if (this.#stopped !== undefined) throw this.#stopped.reason as Error;
  }

  /** The latest hand-over, once. */
  takeHandOver(): HandOver | undefined {
    const handOver = this.#handOver;
    this.#handOver = undefined;
    return handOver;
  }

  /** Forgets what happened before a command is sent, because its answer will be newer. */
  startLooking(): void {
    this.#lookAgain = false;
  }

  /** Resolves after `ms` at the latest, and at once when something has happened that is not dealt with yet. */
  async sleep(ms: number): Promise<void> {
    if (this.#handOver !== undefined || this.#lookAgain || this.#stopped !== undefined) return;
    await new Promise<void>((resolve) => {
      const cancel = this.clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
