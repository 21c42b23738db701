import type { OnModuleDestroy } from '@nestjs/common';
import {
  durationMs,
  RedisUnavailableError,
  RedstartError,
  type Clock,
  type Duration,
  type Warnings,
} from '@redstart/redis-core';
import type { DefinedCache } from '../definition/defined-cache.js';
import { AppendOrder } from './append-order.js';
import type { Backlog, WriteBehindBacklog } from './backlog.js';
import { parseEntryId } from './entry-id.js';
import { latestPutMs, type PendingStore } from './pending-values.js';

/** Appends a write to the stream. @returns the id of its entry */
type Append<Id, Value> = (id: Id, value: Value) => Promise<string>;

export interface WriteBehindParts<Id, Value> {
  readonly cache: DefinedCache<Id, Value>;
  readonly pending: PendingStore<Id, Value>;
  readonly backlog: Backlog;
  readonly append: Append<Id, Value>;
  /** How long an append may take, and how long a write waits for the earlier one of its key. */
  readonly appendMs: number;
  readonly clock: Clock;
  readonly warnings: Warnings;
  /** How long the end of the application waits; 0 where this process writes nothing to the store. */
  readonly drainMs: number;
}

const lookEveryMs = 25;

/**
 * Writes the values of a defined cache to a stream, from which they are written to the store later: in batches, the newest value of each key.
 *
 * @example
 * constructor(@InjectWriteBehind(flights) private readonly flights: WriteBehind<string, Flight>) {}
 * await this.flights.write(id, flight);
 */
export class WriteBehind<Id, Value> implements OnModuleDestroy {
  readonly #parts: WriteBehindParts<Id, Value>;
  readonly #order: AppendOrder<Error | undefined>;
  /** An application that is closed twice has nothing to wait for. */
  #ended = false;

  /** @internal Inject it by `@InjectWriteBehind(definition)`. */
  constructor(parts: WriteBehindParts<Id, Value>) {
    this.#parts = parts;
    this.#order = new AppendOrder(parts.appendMs);
    parts.cache.readThrough(parts.pending);
  }

  /**
   * Writes a value: once it has resolved the value is in the stream, and will be written to the store at least once, unless a newer one of its key is, or it becomes a dead letter. Until
   * then reads of the defined cache find it, in all processes, also when the cached value has been evicted.
   *
   * Of the writes of a key that one process makes at once, the last one is the newest. Those that wait for an earlier one's answer are in the stream as soon as the last of them is, which takes their place.
   *
   * The stream is written first and the cache afterwards, each at one moment: should this process die in between, the store gets the value all the same, and readers find it when the store
   * has it. So it is when Redis does not answer the second step.
   *
   * @throws WriteBehindFullError when too many are pending: nothing was written · RedisUnavailableError: nothing was written (`outcome: 'not-executed'`), or nobody knows · UnsupportedValueError ·
   *   PayloadTooLargeError · InvalidKeyError
   * @see XADD, EVALSHA, UNLINK; now and then what StreamAdmin.group sends
   */
  async write(id: Id, value: Value): Promise<void> {
    const { cache, pending } = this.#parts;
    const key = pending.keyOf(id);
    const encoded = pending.encode(value);
    const unseen = await this.#order.add(
      key,
      () => this.#append(id, value, encoded),
      () => this.#append(id, pending.decode(encoded), encoded), // what was given, whatever has become of it
    );
    if (unseen !== undefined) this.#unseen(unseen);
    // Also what this process knows of it by itself.
    await cache.delete(id).catch((error: unknown) => {
      this.#unseen(error);
    });
  }

  /**
   * Waits until nothing is pending any more, whoever has written it.
   *
   * @param options.timeout how long at most. @default '10s'
   * @returns whether that is so; `false`: what is left stays in the stream
   * @throws OptionsError
   */
  async flush({ timeout = '10s' }: { timeout?: Duration } = {}): Promise<boolean> {
    return this.#flushed(durationMs(timeout, 'flush({ timeout })', { min: 0 }));
  }

  /** How much is pending. @throws RedisUnavailableError @see StreamAdmin.group */
  pending(): Promise<WriteBehindBacklog> {
    return this.#parts.backlog.now();
  }

  /** Before the consumers stop, which belong to a global module: what is pending is written, as far as there is time. */
  async onModuleDestroy(): Promise<void> {
    const { drainMs } = this.#parts;
    if (this.#ended || drainMs === 0) return;
    this.#ended = true;
    await this.#flushed(drainMs);
  }

  /** @returns why readers can't see yet what is in the stream, if they can't */
  async #append(id: Id, value: Value, encoded: Buffer): Promise<Error | undefined> {
    const { pending, backlog, append, clock } = this.#parts;
    await backlog.admit();
    const startedAt = clock.now();
    const entry = await append(id, value);
    let newer: string | undefined;
    try {
      // A process that has stood still must not bring back what has been written and forgotten.
      if (clock.now() - startedAt < latestPutMs) newer = await pending.put(id, entry, encoded);
    } catch (error) {
      return error instanceof Error ? error : new TypeError('A write could not be shown to readers.', { cause: error });
    }
    // Later than anybody can have written it since: it is of a stream that was lost, by a clock that was ahead.
    if (newer !== undefined && msBetween(entry, newer) > clock.now() - startedAt) {
      await this.#replace(newer, id, entry, encoded);
    }
    return undefined;
  }

  /** What is left of a lost stream would hide all writes of its key until the clock has caught up. @throws RedisUnavailableError when nobody knows whether it still does */
  async #replace(lost: string, id: Id, entry: string, encoded: Buffer): Promise<void> {
    const { pending, append } = this.#parts;
    try {
      await pending.put(id, entry, encoded, lost);
      // Whoever writes the store may have taken the first one for outdated meanwhile.
      const again = await append(id, pending.decode(encoded));
      await pending.put(id, again, encoded, lost);
    } catch (error) {
      if (!(error instanceof RedisUnavailableError)) throw error;
      throw new RedisUnavailableError(
        `A write of the cache "${this.#parts.cache.name}" may be hidden by what is left of a stream that was lost: ${error.message}`,
        'unknown',
        { cause: error },
      );
    }
  }

  async #flushed(withinMs: number): Promise<boolean> {
    const { backlog, clock } = this.#parts;
    const until = clock.now() + withinMs;
    for (;;) {
      const left = await backlog.now().then(
        ({ pending }) => pending,
        () => Infinity, // Redis may be back in time.
      );
      if (left === 0) return true;
      if (clock.now() >= until) return false;
      await new Promise<void>((resolve) => {
        clock.after(lookEveryMs, resolve);
      });
    }
  }

  /** The write is in the stream; who reads before the store has it may find what was there before. */
  #unseen(error: unknown): void {
    if (!(error instanceof RedstartError)) throw error;
    this.#parts.warnings.warn(
      'unseen',
      `A write of the cache "${this.#parts.cache.name}" is in the stream, and could not be shown to readers yet: ${error.message}`,
    );
  }
}

/** By how much one entry is later than another, in milliseconds of the server. */
function msBetween(earlier: string, later: string): number {
  return (parseEntryId(later)?.ms ?? 0) - (parseEntryId(earlier)?.ms ?? 0);
}
