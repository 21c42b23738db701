import { AsyncResource } from 'node:async_hooks';
import { RedisUnavailableError, withinBudget } from '@redstart/redis-core';

interface Waiting<Result> {
  send(): Promise<Result>;
  done(result: Result): void;
  failed(error: unknown): void;
}

/**
 * The order in which the writes of one process reach the stream, key by key.
 *
 * Packing a large value takes a while, and a command may have to be sent again, so what was called first could arrive last. While a write of a key is on its way, the later ones wait in line. Its
 * answer, or its failure, lets the line go: the newest is appended for all that wait, as it would be the only one of them that the store gets, so that nobody waits for more than two answers.
 * Where the newest can't be appended because of what it is, the one before it has its turn; where Redis is down, all of them have failed. Each waits for no longer than the budget.
 */
export class AppendOrder<Result> {
  /** Of each key that has a write on its way. */
  readonly #lines = new Map<string, Waiting<Result>[]>();

  constructor(private readonly budgetMs: number) {}

  /**
   * @param key what tells ids apart
   * @param now appends the write at once; succeeds once the stream has it
   * @param later appends it when the line has gone; in the context of the caller, too, as the headers of its message are those of its own trace
   * @returns what became of it, or of the later one that has taken its place
   * @throws RedisUnavailableError · whatever they throw
   */
  async add(key: string, now: () => Promise<Result>, later: () => Promise<Result>): Promise<Result> {
    const line = this.#lines.get(key);
    if (line !== undefined) return this.#wait(line, AsyncResource.bind(later));
    this.#lines.set(key, []);
    try {
      return await now();
    } finally {
      void this.#moveOn(key);
    }
  }

  /** How many keys have a write on its way. */
  get size(): number {
    return this.#lines.size;
  }

  #wait(line: Waiting<Result>[], send: () => Promise<Result>): Promise<Result> {
    const result = new Promise<Result>((done, failed) => {
      line.push({ send, done, failed });
    });
    return withinBudget(result, this.budgetMs, () => {
      const place = line.findIndex((each) => each.send === send);
      if (place >= 0) line.splice(place, 1);
      return new RedisUnavailableError(
        `A write has waited for ${this.budgetMs} ms behind earlier ones of its key, which Redis has not answered.`,
        place >= 0 ? 'not-executed' : 'unknown',
      );
    });
  }

  async #moveOn(key: string): Promise<void> {
    const line = this.#lines.get(key) ?? [];
    for (let all = line.splice(0); all.length > 0; all = line.splice(0)) {
      const newest = all.pop();
      if (newest === undefined) continue;
      try {
        const result = await newest.send();
        for (const each of [newest, ...all]) each.done(result);
      } catch (error) {
        newest.failed(error);
        if (error instanceof RedisUnavailableError) for (const each of all) each.failed(error);
        else line.unshift(...all);
      }
    }
    this.#lines.delete(key);
  }
}
