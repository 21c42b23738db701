import { mostSetAside } from './standing-watch.js';

/** Entries that are handled and wait for Redis to know: more than so many times the capacity, and no more are read. */
const mostSettling = 8;
/** Reads of less are not worth their round trip. */
const smallestHalf = 32;

/** How many entries a consumer has at present. */
export interface EntryCounts {
  /** For their handlers: waiting, gathered in batches, or running. */
  readonly here: number;
  /** Ended, and Redis does not know yet. */
  readonly settling: number;
  /** Behind others of their key. */
  readonly aside: number;
}

/** How far a consumer reads ahead of its slots: up to `prefetch`, and not at all after some have waited in vain, until a handler has ended again. */
export class ReadAhead {
  /** How many entries the slots have room for: batches have many. */
  readonly room: number;
  readonly #prefetch: number;
  #ahead: number;

  constructor(room: number, prefetch: number) {
    this.room = room;
    this.#prefetch = prefetch;
    this.#ahead = prefetch;
  }

  /** Some have waited in vain. */
  suspend(): void {
    this.#ahead = 0;
  }

  /** A handler has ended. */
  restore(): void {
    this.#ahead = this.#prefetch;
  }

  /** How many entries to ask for; 0 while enough of them are here. */
  wanted({ here, settling, aside }: EntryCounts): number {
    const waiting = Math.max(0, here - this.room);
    const enough = here >= this.room && waiting * 2 >= this.#ahead;
    const capacity = this.room + this.#ahead;
    if (enough || aside > mostSetAside || settling > mostSettling * capacity) return 0;
    // In two halves: while one is handled, the other is on its way.
    return Math.min(capacity - here, Math.max(smallestHalf, Math.ceil(capacity / 2)));
  }
}
