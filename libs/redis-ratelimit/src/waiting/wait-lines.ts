import { RedisUnavailableError, type Clock } from '@redstart/redis-core';
import type { RateLimitDecision } from '../decision.js';
import { RateLimitExceededError } from '../ratelimit.errors.js';
import { Waiter } from './waiter.js';

/** How long to wait for a limit, and who may call it off. */
export interface WaitBounds {
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
}

/** One try to get in: a denial says how long to wait before the next. */
export interface Attempt<T> {
  /** What was got, when it was allowed. */
  readonly got: T | undefined;
  readonly decision: RateLimitDecision;
  /** When to try again; later tries are in vain. */
  readonly againInMs: number;
}

/** How to get in, for one who waits. */
export interface Entrance<T> {
  readonly attempt: () => Promise<Attempt<T>>;
  /** For who was called off while it got in: nobody will use what it got. */
  readonly giveBack: (got: T) => Promise<unknown>;
}

/**
 * Lets calls wait for a limit, in this process first come, first served: of all who wait for one subject only the first asks Redis, when the denial said, so a
 * crowd of waiters costs what one does. Processes are not lined up among each other. Who does not wait is no part of a line, and who has waited for as long as it wanted asks
 * once more for itself: each hears the answer to its own question, never that to another's.
 *
 * A line exists while somebody stands in it. Who gives up leaves it from wherever it stands, at once, also in the middle of a try; whoever is first then is
 * woken by who has left.
 */
export class WaitLines {
  /** In the order of arrival. */
  readonly #lines = new Map<string, Set<Waiter>>();
  readonly #clock: Clock;
  #closed: Error | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Tries until it is allowed.
   *
   * @throws RateLimitExceededError when it can't be within `maxWaitMs`, as soon as that is known · the signal's reason · RedisUnavailableError when the application closes ·
   *   what `attempt` throws
   */
  async wait<T>(name: string, { maxWaitMs, signal }: WaitBounds, entrance: Entrance<T>): Promise<T> {
    const waiter = new Waiter(this.#clock, signal);
    if (maxWaitMs === 0) return this.#tryOnce(waiter, entrance);
    const line = this.#lines.get(name) ?? new Set<Waiter>();
    this.#lines.set(name, line.add(waiter));
    try {
      return await this.#tryUntilAllowed(line, waiter, this.#clock.now() + maxWaitMs, entrance);
    } finally {
      waiter.leave();
      const wasFirst = firstOf(line) === waiter;
      line.delete(waiter);
      if (line.size === 0) this.#lines.delete(name);
      else if (wasFirst) firstOf(line)?.wake();
    }
  }

  /** Something was given back in this process: whoever is first may try again at once. */
  wake(name: string): void {
    const line = this.#lines.get(name);
    if (line !== undefined) firstOf(line)?.wake();
  }

  /** Calls off all who wait, and whoever would from now on: nothing comes any more. */
  close(): Promise<void> {
    const reason = new RedisUnavailableError(
      'The application was closed during the wait for a rate limit.',
      'not-executed',
    );
    this.#closed = reason;
    for (const line of this.#lines.values()) for (const waiter of line) waiter.callOff(reason);
    return Promise.resolve();
  }

  async #tryUntilAllowed<T>(line: Set<Waiter>, waiter: Waiter, untilMs: number, entrance: Entrance<T>): Promise<T> {
    for (;;) {
      const leftMs = untilMs - this.#clock.now();
      if (firstOf(line) !== waiter && leftMs > 0) {
        await this.#pause(waiter, leftMs);
        continue;
      }
      const { got, decision, againInMs } = await this.#try(waiter, entrance);
      if (got !== undefined) return got;
      if (leftMs <= 0 || this.#clock.now() + againInMs > untilMs) throw new RateLimitExceededError(decision);
      await this.#pause(waiter, againInMs);
    }
  }

  async #tryOnce<T>(waiter: Waiter, entrance: Entrance<T>): Promise<T> {
    try {
      const { got, decision } = await this.#try(waiter, entrance);
      if (got === undefined) throw new RateLimitExceededError(decision);
      return got;
    } finally {
      waiter.leave();
    }
  }

  #try<T>(waiter: Waiter, { attempt, giveBack }: Entrance<T>): Promise<Attempt<T>> {
    return waiter.hear(attempt, ({ got }) => {
      if (got === undefined) return;
      giveBack(got).catch(() => {
        // Nobody is left who could be told. The connection has traced it, and what stays taken lapses by itself.
      });
    });
  }

  #pause(waiter: Waiter, ms: number): Promise<void> {
    if (this.#closed !== undefined) throw this.#closed;
    return waiter.pause(ms);
  }
}

function firstOf(line: ReadonlySet<Waiter>): Waiter | undefined {
  return line.values().next().value;
}
