import { checkFunction, checkInteger, checkKnownKeys, checkNumber, type RedisConnection } from '@redstart/redis-core';
import { pause } from '../consumer/pause.js';
import { parseEntries, type RawEntry } from '../message/envelope.js';
import type { PayloadCodec } from '../message/payload-codec.js';
import { replayScript } from '../scripts/replay.js';
import { adminCall } from './admin-call.js';
import { deadLetterMatcher, type DeadLetterFilter } from './dead-letter-filter.js';
import { readDeadLetter, replayHeaders, type DeadLetter } from './dead-letter.js';
import type { StreamPart } from './stream-target.js';

export interface ListOptions extends DeadLetterFilter {
  /** How many at most. @default 100 */
  readonly limit?: number;
}

export interface LongWorkOptions {
  /** Ends the work between two letters. What has been done stays done. */
  readonly signal?: AbortSignal;
  /** Called after each step, with what has been done so far. */
  readonly onProgress?: (done: number) => void;
}

export interface ReplayOptions extends LongWorkOptions {
  /** How many letters a second, so that what failed once is not flooded. `Infinity`: as fast as Redis answers. @default 100 */
  readonly rate?: number;
}

export interface ReplayResult {
  /** How many are on their way to the group again. */
  readonly replayed: number;
  /** How many hold no entry to replay: it had been trimmed when it was given up. They stay. */
  readonly empty: number;
}

interface Found {
  readonly part: StreamPart;
  readonly raw: RawEntry;
  readonly letter: DeadLetter;
}

const pageSize = 50;
const longWork = ['signal', 'onProgress'];

/**
 * The dead letters of one group. Stateless: every call asks Redis.
 *
 * Each letter is dealt with in one step: replayed, or purged, or still there, whoever does it at the same time. A call deals with the letters that were there when it
 * began; a message that fails again meanwhile becomes a new letter, which it leaves alone.
 */
export class DeadLetters {
  readonly #connection: RedisConnection;
  readonly #codec: PayloadCodec;
  readonly #parts: readonly StreamPart[];
  readonly #group: string;
  readonly #checkGroup: () => Promise<void>;

  /**
   * @internal Made by `StreamAdmin.deadLetters`.
   * @param checkGroup rejects when there is no such group: asked where nothing was found, since letters outlive theirs
   */
  constructor(
    connection: RedisConnection,
    codec: PayloadCodec,
    parts: readonly StreamPart[],
    group: string,
    checkGroup: () => Promise<void>,
  ) {
    this.#connection = connection;
    this.#codec = codec;
    this.#parts = parts;
    this.#group = group;
    this.#checkGroup = checkGroup;
  }

  /** How many there are. @see one XLEN per partition */
  async count(): Promise<number> {
    const lengths = await Promise.all(
      this.#parts.map((part) =>
        this.#connection.call(adminCall('deadLetters.count'), (client) => client.xlen(this.#key(part))),
      ),
    );
    return lengths.reduce((total, length) => total + length, 0);
  }

  /**
   * The oldest letters, of each partition in turn.
   * @throws OptionsError for a wrong filter · StreamGroupNotFoundError when there is neither a letter nor the group
   * @see XRANGE in pages of 50
   */
  async list({ limit = 100, ...filter }: ListOptions = {}): Promise<DeadLetter[]> {
    checkInteger(limit, 'deadLetters.list({ limit })', 1, 1_000_000);
    const letters: DeadLetter[] = [];
    for await (const { letter } of this.#find(filter, 'deadLetters.list(filter)')) {
      letters.push(letter);
      if (letters.length === limit) break;
    }
    return letters;
  }

  /** One letter, or `undefined` when it is not there (any more). @see one XRANGE */
  async peek(id: string): Promise<DeadLetter | undefined> {
    const part = this.#parts.find(({ prefix }) => (prefix === '' ? !id.includes('/') : id.startsWith(prefix)));
    if (part === undefined) return undefined;
    const own = id.slice(part.prefix.length);
    if (!isEntryId(own)) return undefined;
    const [raw] = await this.#range(part, own, own, 1);
    return raw === undefined ? undefined : readDeadLetter(raw, part.prefix, this.#codec);
  }

  /**
   * Gives letters back to their group, and to no other, with all their attempts: each goes to the group's retry stream with the header `x-replayed-from` and leaves the
   * dead letters in the same step. While consumers of the group run they handle it at once.
   *
   * An error ends the work; what was replayed stays so. Calling it again after an outage replays nothing twice.
   *
   * @throws OptionsError for a wrong filter or option · StreamGroupNotFoundError when there is neither a letter nor the group · RedisUnavailableError · the reason of `signal`
   * @see  XRANGE in pages of 50; one script of XADD and XDEL per letter
   */
  async replay(filter: DeadLetterFilter = {}, options: ReplayOptions = {}): Promise<ReplayResult> {
    checkKnownKeys(options, ['rate', ...longWork], 'deadLetters.replay(_, options)');
    const rate = checkNumber(options.rate ?? 100, 'deadLetters.replay(_, { rate })', 0.001, Infinity);
    const { signal, onProgress } = checkLongWork(options, 'deadLetters.replay');
    const { clock } = this.#connection;
    const startedAt = clock.now();
    const result = { replayed: 0, empty: 0 };
    for await (const { part, raw, letter } of this.#find(filter, 'deadLetters.replay(filter)')) {
      const waitMs = startedAt + (result.replayed * 1_000) / rate - clock.now();
      if (waitMs > 0) await pause(clock, waitMs, signal);
      signal.throwIfAborted();
      const outcome = await this.#connection.scripts.run(
        adminCall('deadLetters.replay'),
        replayScript,
        [this.#key(part), part.keys.retry(this.#group)],
        [this.#group, raw.id, replayHeaders(letter)],
      );
      if (outcome === 'gone') continue;
      result[outcome] += 1;
      onProgress(result.replayed);
    }
    return result;
  }

  /**
   * Deletes letters for good. Without a filter all that are there.
   *
   * @returns how many it has deleted; one that was replayed or purged by somebody else meanwhile is not counted
   * @throws OptionsError for a wrong filter or option · StreamGroupNotFoundError when there is neither a letter nor the group · RedisUnavailableError · the reason of `signal`
   * @see  XRANGE in pages of 50, XDEL per page
   */
  async purge(filter: DeadLetterFilter = {}, options: LongWorkOptions = {}): Promise<number> {
    checkKnownKeys(options, longWork, 'deadLetters.purge(_, options)');
    const { signal, onProgress } = checkLongWork(options, 'deadLetters.purge');
    let purged = 0;
    for await (const page of this.#pages(filter, 'deadLetters.purge(filter)')) {
      const [first] = page;
      if (first === undefined) continue;
      signal.throwIfAborted();
      const ids = page.map(({ raw }) => raw.id);
      purged += await this.#connection.call(adminCall('deadLetters.purge'), (client) =>
        client.xdel(this.#key(first.part), ...ids),
      );
      onProgress(purged);
    }
    return purged;
  }

  async *#find(filter: DeadLetterFilter, where: string): AsyncGenerator<Found> {
    for await (const page of this.#pages(filter, where)) yield* page;
  }

  /** What matches, page by page, up to the newest letter of now. */
  async *#pages(filter: DeadLetterFilter, where: string): AsyncGenerator<Found[]> {
    const matches = deadLetterMatcher(filter, where);
    let empty = true;
    for (const part of this.#parts) {
      const last = await this.#newest(part);
      if (last !== undefined) empty = false;
      for (let from = '-'; last !== undefined;) {
        const page = await this.#range(part, from, last, pageSize);
        const found = page.map(async (raw) => ({
          part,
          raw,
          letter: await readDeadLetter(raw, part.prefix, this.#codec),
        }));
        yield (await Promise.all(found)).filter(({ letter }) => matches(letter));
        if (page.length < pageSize) break;
        from = `(${page.at(-1)?.id ?? last}`;
      }
    }
    if (empty) await this.#checkGroup();
  }

  async #newest(part: StreamPart): Promise<string | undefined> {
    const reply = await this.#connection.call(adminCall('deadLetters.list'), (client) =>
      client.callBuffer('xrevrange', this.#key(part), '+', '-', 'COUNT', 1),
    );
    return parseEntries(reply)[0]?.id;
  }

  async #range(part: StreamPart, from: string, to: string, count: number): Promise<RawEntry[]> {
    const reply = await this.#connection.call(adminCall('deadLetters.list'), (client) =>
      client.callBuffer('xrange', this.#key(part), from, to, 'COUNT', count),
    );
    return parseEntries(reply);
  }

  #key(part: StreamPart): string {
    return part.keys.deadLetters(this.#group);
  }
}

function checkLongWork(
  { signal = new AbortController().signal, onProgress = () => undefined }: LongWorkOptions,
  where: string,
) {
  return { signal, onProgress: checkFunction(onProgress, `${where}(_, { onProgress })`) };
}

/** Both halves have 64 bits. */
function isEntryId(text: string): boolean {
  const halves = /^(\d{1,20})-(\d{1,20})$/.exec(text)?.slice(1) ?? [];
  return halves.length === 2 && halves.every((half) => BigInt.asUintN(64, BigInt(half)) === BigInt(half));
}
