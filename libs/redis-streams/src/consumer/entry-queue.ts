import type { HeldEntry } from './held-entry.js';

/** First come, first served. `Array.shift` would move all that wait at each step. */
export class EntryQueue {
  #entries: HeldEntry[] = [];
  #first = 0;

  get size(): number {
    return this.#entries.length - this.#first;
  }

  push(entry: HeldEntry): void {
    this.#entries.push(entry);
  }

  shift(): HeldEntry | undefined {
    const entry = this.#entries[this.#first];
    if (entry === undefined) return undefined;
    this.#first += 1;
    if (this.#first === this.#entries.length) {
      this.#entries = [];
      this.#first = 0;
    }
    return entry;
  }

  /** Takes out those that a condition holds for. */
  take(condition: (entry: HeldEntry) => boolean): HeldEntry[] {
    const here = this.#entries.slice(this.#first);
    const taken = here.filter(condition);
    if (taken.length === 0) return taken;
    this.#entries = here.filter((entry) => !condition(entry));
    this.#first = 0;
    return taken;
  }
}
