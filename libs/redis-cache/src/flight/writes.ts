import type { WaitBudget } from '../store/budget.js';

/** One `set` that is on its way to Redis. */
export type Write = symbol;

/** A call that waits in line. Its turn has come: @returns whether those behind it wait for its answer */
type Turn = () => boolean;

/**
 * The order of the calls to `set` and `delete` of one process, key by key.
 *
 * - Packing a large value takes a while, so what was called first may be ready last: it is then not sent any more.
 * - A script that the server has to be told again runs after what was sent behind it. So while a `set` is in flight, the later calls for its key stand in
 *   line. Its answer, or the end of its budget, lets the deletions go that come next, up to the first `set` that nothing newer has outdated: the line
 *   waits for that one then.
 *
 * There is a line only while a `set` is in flight. At most one is, and it was called before those that wait for it, so their wait ends with
 * its budget, before their own. Whatever has its turn is sent in that very moment: nothing that is called meanwhile can overtake it.
 */
export class Writes {
  readonly #latest = new Map<string, Write>();
  readonly #lines = new Map<string, Turn[]>();

  begin(key: string): Write {
    const write = Symbol();
    this.#latest.set(key, write);
    return write;
  }

  end(key: string, write: Write): void {
    if (this.#isLatest(key, write)) this.#latest.delete(key);
  }

  /** Something newer has been called: what is being packed, or stands in line, must not follow it. */
  outdate(key: string): void {
    this.#latest.delete(key);
  }

  /** Sends a `set` in its turn, unless something newer has been called. */
  async set(key: string, write: Write, budget: WaitBudget, send: () => Promise<void>): Promise<void> {
    if (!this.#isLatest(key, write)) return;
    const line = this.#lines.get(key);
    if (line === undefined) {
      this.#lines.set(key, []);
      return this.#lead(key, send);
    }
    return inTurn(line, budget, (done) => {
      const isLatest = this.#isLatest(key, write);
      done(isLatest ? this.#lead(key, send) : undefined);
      return isLatest;
    });
  }

  /** Sends a deletion: at once when no `set` of the key is in flight. */
  async delete(key: string, budget: WaitBudget, send: () => Promise<void>): Promise<void> {
    const line = this.#lines.get(key);
    if (line === undefined) return send();
    return inTurn(line, budget, (done) => {
      done(send());
      return false;
    });
  }

  /** How many keys have a `set` that is not done with. */
  get size(): number {
    return new Set([...this.#latest.keys(), ...this.#lines.keys()]).size;
  }

  /** Whether nothing has been set or deleted since. */
  #isLatest(key: string, write: Write): boolean {
    return this.#latest.get(key) === write;
  }

  /** Sends a `set` that the line of its key waits for. */
  async #lead(key: string, send: () => Promise<void>): Promise<void> {
    try {
      await send();
    } finally {
      this.#moveOn(key);
    }
  }

  #moveOn(key: string): void {
    const line = this.#lines.get(key);
    for (let turn = line?.shift(); turn !== undefined; turn = line?.shift()) {
      if (turn()) return;
    }
    this.#lines.delete(key);
  }
}

/** Stands at the end of the line. The wait is taken off the budget before `go` sends. */
function inTurn(
  line: Turn[],
  budget: WaitBudget,
  go: (done: (sent?: Promise<void>) => void) => boolean,
): Promise<void> {
  const endWait = budget.startWait();
  return new Promise((done) => {
    line.push(() => {
      endWait();
      return go(done);
    });
  });
}
