/** What happened at one lock: every turn of every worker, in the order in which they got it. */
export class Turns {
  #turns;
  #startedAt;

  /** @param {number} startedAt @param {[worker: string, askedAt: number, grantedAt: number, freedAt: number][]} turns of all processes, in any order */
  constructor(startedAt, turns) {
    this.#startedAt = startedAt;
    this.#turns = turns
      .map(([worker, askedAt, grantedAt, freedAt]) => ({ worker, askedAt, grantedAt, freedAt }))
      .sort((a, b) => a.grantedAt - b.grantedAt);
  }

  get count() {
    return this.#turns.length;
  }

  /** From the start until the last one let go. */
  get tookMs() {
    return Math.max(...this.#turns.map(({ freedAt }) => freedAt)) - this.#startedAt;
  }

  /** From asking to having, for each turn. */
  get waitsMs() {
    return this.#turns.map(({ askedAt, grantedAt }) => grantedAt - askedAt);
  }

  /** How long the lock was nobody's between two turns: from the moment one begins to give it back until the next one has it. */
  get handOffsMs() {
    return this.#pairs().map(([before, after]) => after.grantedAt - before.freedAt);
  }

  /** How many turns began while an earlier one had not ended. A lock for which that is not 0 is none. */
  get overlaps() {
    let freeAt = -Infinity;
    let overlaps = 0;
    for (const { grantedAt, freedAt } of this.#turns) {
      if (grantedAt < freeAt) overlaps += 1;
      freeAt = Math.max(freeAt, freedAt);
    }
    return overlaps;
  }

  /** The share of turns that went to whoever had the lock just before. */
  get retakenShare() {
    const pairs = this.#pairs();
    return pairs.filter(([before, after]) => before.worker === after.worker).length / pairs.length;
  }

  /** The most turns of a worker by the fewest; `Infinity` when one of the `workers` got none. */
  unfairness(workers) {
    const counts = new Map();
    for (const { worker } of this.#turns) counts.set(worker, (counts.get(worker) ?? 0) + 1);
    return counts.size < workers ? Infinity : Math.max(...counts.values()) / Math.min(...counts.values());
  }

  #pairs() {
    return this.#turns.slice(1).map((turn, at) => [this.#turns[at], turn]);
  }
}
