import type { Clock } from '@redstart/redis-core';
import type { RateLimitDecision } from '../decision.js';
import { RateLimitExceededError } from '../ratelimit.errors.js';

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

/** Those who wait for one limit of one subject in this process. */
interface Line {
  /** The first one tries, the others stand behind it, each with what lets it step forward. */
  readonly behind: (() => void)[];
  lastDenial: RateLimitDecision | undefined;
  /** Lets the first one try again at once. */
  wake: (() => void) | undefined;
}

/**
 * Lets calls wait for a limit, in this process first come, first served: of all who wait for one subject only the first asks Redis, when the denial said, so a
 * crowd of waiters costs what one does. Processes are not lined up among each other.
 *
 * A line exists while somebody stands in it. Who gives up leaves it from wherever it stands.
 */
export class WaitLines {
  readonly #lines = new Map<string, Line>();

  constructor(private readonly clock: Clock) {}

  /**
   * Tries until it is allowed.
   *
   * @throws RateLimitExceededError when it can't be within `maxWaitMs`, as soon as that is known · the signal's reason · what `attempt` throws
   */
  async wait<T>(name: string, bounds: WaitBounds, attempt: () => Promise<Attempt<T>>): Promise<T> {
    const { signal } = bounds;
    const untilMs = this.clock.now() + bounds.maxWaitMs;
    const line = this.#lines.get(name);
    if (line !== undefined && !(await this.#standBehind(line, untilMs, signal))) return this.#lastTry(line, attempt);
    const mine = line ?? { behind: [], lastDenial: undefined, wake: undefined };
    this.#lines.set(name, mine);
    try {
      return await this.#tryUntilAllowed(mine, untilMs, signal, attempt);
    } finally {
      const next = mine.behind.shift();
      if (next === undefined) this.#lines.delete(name);
      else next();
    }
  }

  /** Something was given back in this process: whoever is first may try again at once. */
  wake(name: string): void {
    this.#lines.get(name)?.wake?.();
  }

  async #tryUntilAllowed<T>(
    line: Line,
    untilMs: number,
    signal: AbortSignal | undefined,
    attempt: () => Promise<Attempt<T>>,
  ): Promise<T> {
    for (;;) {
      signal?.throwIfAborted();
      const { got, decision, againInMs } = await attempt();
      if (got !== undefined) return got;
      line.lastDenial = decision;
      if (this.clock.now() + againInMs > untilMs) throw new RateLimitExceededError(decision);
      await this.#pause(againInMs, signal, (wake) => {
        line.wake = wake;
      });
      line.wake = undefined;
    }
  }

  /** The wait is over, and there is no denial yet that could be shown. */
  async #lastTry<T>(line: Line, attempt: () => Promise<Attempt<T>>): Promise<T> {
    if (line.lastDenial !== undefined) throw new RateLimitExceededError(line.lastDenial);
    const { got, decision } = await attempt();
    if (got === undefined) throw new RateLimitExceededError(decision);
    return got;
  }

  /** @returns whether it is the first now; false when the wait is over */
  async #standBehind(line: Line, untilMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    let isFirst = false;
    let place = (): void => undefined;
    try {
      await this.#pause(untilMs - this.clock.now(), signal, (stepForward) => {
        place = () => {
          isFirst = true;
          stepForward();
        };
        line.behind.push(place);
      });
    } finally {
      const index = line.behind.indexOf(place);
      if (index >= 0) line.behind.splice(index, 1);
    }
    return isFirst;
  }

  /** Waits so long, or until woken. */
  #pause(ms: number, signal: AbortSignal | undefined, wakeable: (wake: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => {
        cancel();
        signal?.removeEventListener('abort', abort);
      };
      const wake = () => {
        end();
        resolve();
      };
      const abort = () => {
        end();
        reject(reasonOf(signal));
      };
      const cancel = this.clock.after(ms, wake);
      signal?.addEventListener('abort', abort, { once: true });
      wakeable(wake);
    });
  }
}

function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new Error('The wait was aborted.', { cause: reason });
}
