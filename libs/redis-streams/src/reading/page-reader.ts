import type { RedisCall, RedisConnection } from '@redstart/redis-core';
import { parseEntries, type RawEntry } from '../message/envelope.js';
import { compareIds } from './entry-id.js';

/** A page is to be about this large; so many entries are asked for as were that large lately. */
const pageBytes = 1024 * 1024;
const fewest = 16;
const most = 500;

const shortestRestMs = 20;
const longestRestMs = 500;

/**
 * Reads the entries of one stream key in their order, a page at a time.
 *
 * It holds one page at most: `first` is its next entry, taken by `take`, and `load` asks for the next page when that one is used up. After a page that was not full, or a failure, it
 * *rests*: a bounded reader (`endAtLast`) for good, since it has come to its end; any other for 20 ms after entries, and up to 500 ms when nothing comes.
 */
export class PageReader {
  readonly #connection: RedisConnection;
  readonly #call: RedisCall;
  readonly #key: string;
  #start: string;
  #end = '+';
  #bounded = false;
  #count = fewest;
  #page: RawEntry[] = [];
  #vain = 0;
  #restsUntil = 0;

  /** @param start as XRANGE takes it */
  constructor(connection: RedisConnection, call: RedisCall, key: string, start: string) {
    this.#connection = connection;
    this.#call = call;
    this.#key = key;
    this.#start = start;
  }

  get first(): RawEntry | undefined {
    return this.#page[0];
  }

  /** By the connection's clock; `Infinity` for one that has come to its end. */
  get restsUntil(): number {
    return this.#restsUntil;
  }

  take(): void {
    this.#page.shift();
  }

  /** Ends the reading with the last entry that there is now, or with an earlier one. @see one XREVRANGE with COUNT 1 */
  async endAtLast(to: string | undefined): Promise<void> {
    const [last] = await this.#ask('xrevrange', '+', '-', 1);
    this.#bounded = true;
    if (last === undefined) this.#rest();
    else this.#end = to === undefined || compareIds(last.id, to) < 0 ? last.id : to;
  }

  /** @see one XRANGE with COUNT */
  async load(): Promise<void> {
    let page: RawEntry[] = [];
    try {
      page = await this.#ask('xrange', this.#start, this.#end, this.#count);
    } finally {
      this.#vain = page.length === 0 ? this.#vain + 1 : 0;
      if (page.length < this.#count) this.#rest();
    }
    const last = page.at(-1);
    if (last === undefined) return;
    this.#page = page;
    this.#start = `(${last.id}`;
    const bytes = page.reduce((sum, { fields }) => fields.reduce((size, { length }) => size + length, sum), 0);
    this.#count = Math.min(most, Math.max(fewest, Math.floor((pageBytes * page.length) / Math.max(1, bytes))));
  }

  #rest(): void {
    const ms = Math.min(longestRestMs, shortestRestMs * 2 ** Math.min(this.#vain, 10));
    this.#restsUntil = this.#bounded ? Infinity : this.#connection.clock.now() + ms;
  }

  async #ask(command: 'xrange' | 'xrevrange', start: string, end: string, count: number): Promise<RawEntry[]> {
    return parseEntries(
      await this.#connection.call(this.#call, (client) =>
        client.callBuffer(command, this.#key, start, end, 'COUNT', count),
      ),
    );
  }
}
