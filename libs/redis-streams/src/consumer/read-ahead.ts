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

/**
 * How many entries a consumer takes: as many as its slots have room for, and up to `prefetch` ahead of them.
 *
 * When some have waited in vain, or could not be kept, it has taken more than it can do for now, and all that is in vain is work, too. Then it takes no more than one for each slot, and one more for each that has ended since, or has been gathered for its batch: so after a moment it
 * takes as many as before, if they end fast, and otherwise what it can do.
 *
 * @see  the slow start of TCP: https://www.rfc-editor.org/rfc/rfc5681#section-3.1
 */
export class ReadAhead {
  readonly #slots: number;
  readonly #room: number;
  readonly #largest: number;
  #capacity: number;

  /** @param slots of the consumer @param room how many entries they have room for: batches have many */
  constructor(slots: number, room: number, prefetch: number) {
    this.#slots = slots;
    this.#room = room;
    this.#largest = room + prefetch;
    this.#capacity = this.#largest;
  }

  /** How many entries may be in the slots at present. */
  get room(): number {
    return Math.min(this.#room, this.#capacity);
  }

  /** Some have waited in vain, or could not be kept. */
  suspend(): void {
    this.#capacity = this.#slots;
  }

  /** So many have ended, or were gathered for their batches: they did not wait in vain. */
  restore(entries: number): void {
    this.#capacity = Math.min(this.#largest, this.#capacity + entries);
  }

  /** How many entries to ask for; 0 while enough of them are here. */
  wanted({ here, settling, aside }: EntryCounts): number {
    const capacity = this.#capacity;
    const { room } = this;
    const waiting = Math.max(0, here - room);
    const enough = here >= room && waiting * 2 >= capacity - room;
    if (enough || aside > mostSetAside || settling > mostSettling * this.#largest) return 0;
    // In two halves: while one is handled, the other is on its way.
    return Math.min(capacity - here, Math.max(smallestHalf, Math.ceil(capacity / 2)));
  }
}
