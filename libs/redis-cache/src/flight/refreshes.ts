import type { Clock } from '@redstart/redis-core';

/** What those who go on together have in common. */
interface Turn {
  /** Whoever comes later may know of something that this one has missed. */
  begun: boolean;
  readonly prepared: Promise<unknown>;
  /** Never rejects. */
  ended: Promise<void>;
}

/**
 * Lets callers of this process load a value anew, one load at a time, so that none of them ends the load of another one.
 *
 * - *idle*: nobody does. The next call begins a turn, with all that come in the same tick.
 * - *running*: a load is under way. It may have missed what a later call knows of, which therefore waits.
 * - *running, with others waiting*: these share the next turn, which begins when the load has ended, or when the first of them has waited for too long.
 */
export class Refreshes {
  /** The last turn of each value. */
  readonly #turns = new Map<string, Turn>();

  constructor(private readonly clock: Clock) {}

  /**
   * @param waitMs how long to wait at most for the turn before
   * @param prepare is run once in a turn, before any of its loads
   * @param load is run for each caller; the turn ends with the first one
   * @throws whatever `prepare` and `load` throw
   */
  run<T>(key: string, waitMs: number, prepare: () => Promise<unknown>, load: () => Promise<T>): Promise<T> {
    const last = this.#turns.get(key);
    if (last?.begun === false) return last.prepared.then(load);
    const turn: Turn = { begun: false, prepared: this.#before(last, waitMs).then(begin), ended: Promise.resolve() };
    function begin(): Promise<unknown> {
      turn.begun = true;
      return prepare();
    }
    const loaded = turn.prepared.then(load);
    const end = () => {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    };
    // How it has ended is its caller's.
    turn.ended = loaded.then(end, end);
    this.#turns.set(key, turn);
    return loaded;
  }

  #before(turn: Turn | undefined, waitMs: number): Promise<void> {
    if (turn === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.clock.after(waitMs, resolve);
      void turn.ended.then(() => {
        cancel();
        resolve();
      });
    });
  }
}
