import { describeError, Warnings, type Cancel, type Clock, type RedisConnection } from '@redstart/redis-core';
import type { StreamKeys } from '../keys.js';
import { trimScript, type Trimming } from '../scripts/trim.js';
import type { ResolvedRetention } from './retention.js';

/** What retention has done to one stream, as far as this process took part. */
export interface RetentionCounters {
  /** Entries that were dropped after every group had finished them. */
  trimmed: number;
  /** Entries that `hardMaxLen` dropped although a group had not finished them. Each is a message lost to that group. */
  lost: number;
  /** Groups that hold back the trimming for long, at present: forgotten ones, as a rule. */
  stalledGroups: number;
}

export interface StreamKeeperOptions {
  /** How often each stream is trimmed. */
  readonly retentionIntervalMs: number;
  /** The budget of one call. */
  readonly commandTimeoutMs: number;
  readonly clock?: Clock;
}

interface Kept {
  readonly stream: string;
  readonly keys: StreamKeys;
  readonly retention: ResolvedRetention;
  readonly counters: RetentionCounters;
  /** Who has held back the trimming from which entry on, and since when by the clock. */
  heldBack: { readonly group: string; readonly floor: string; readonly since: number } | undefined;
}

/** At most one call in two seconds, however many streams there are. */
const shortestPauseMs = 2_000;
/** How long a group may stand at one entry that retention would drop before it counts as stalled. */
const stalledAfterMs = 10 * 60_000;
const mostCalls = 100;

/**
 * Trims the streams of this process that have a retention.
 *
 * From `start` to `stop` it goes round its streams (and their partitions), one after the other, each once per interval. Whichever process comes first to a stream is its *keeper* until shortly
 * before the next turn, by a key that expires; the others leave it alone. A keeper calls the trimming until nothing is left to drop, 100 times at most. A group that stands at one entry for ten minutes while
 * retention would drop it is *stalled*: counted, and told to the log every 30 s at most while that lasts.
 */
export class StreamKeeper {
  readonly #connection: RedisConnection;
  readonly #options: StreamKeeperOptions;
  readonly #clock: Clock;
  readonly #warnings: Warnings;
  readonly #kept: Kept[] = [];
  #turn = 0;
  #running = false;
  #cancel: Cancel = () => undefined;
  #working: Promise<void> = Promise.resolve();

  constructor(connection: RedisConnection, options: StreamKeeperOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#clock = options.clock ?? connection.clock;
    this.#warnings = new Warnings('StreamRetention', connection.clock);
  }

  /** @returns the counters of the stream, which go on changing; of a stream without retention they stay as they are */
  keep(stream: string, partitions: readonly StreamKeys[], retention: ResolvedRetention | undefined): RetentionCounters {
    const counters: RetentionCounters = { trimmed: 0, lost: 0, stalledGroups: 0 };
    if (retention === undefined) return counters;
    this.#kept.push(...partitions.map((keys) => ({ stream, keys, retention, counters, heldBack: undefined })));
    if (this.#running) this.#plan();
    return counters;
  }

  start(): void {
    this.#running = true;
    this.#plan();
  }

  /** Resolves when no call is under way any more. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#cancel();
    await this.#working;
  }

  /** To be told of entries that a publication dropped because of `hardMaxLen`. */
  tellLost(stream: string, counters: RetentionCounters, lost: number): void {
    if (lost === 0) return;
    counters.lost += lost;
    this.#warnings.warn(
      `lost ${stream}`,
      `${lost} entries of "${stream}" were dropped by hardMaxLen before every group had handled them: those messages are lost to it. Consumers are too slow, or hardMaxLen is too low.`,
    );
  }

  /** How long a stream is left alone after its turn. */
  get #roundMs(): number {
    return Math.max(this.#options.retentionIntervalMs, shortestPauseMs * this.#kept.length);
  }

  #plan(): void {
    this.#cancel();
    if (this.#kept.length === 0) return;
    this.#cancel = this.#clock.after(
      (this.#roundMs / this.#kept.length) * (0.9 + Math.random() * 0.2),
      () => {
        this.#working = this.#next().finally(() => {
          if (this.#running) this.#plan();
        });
      },
      { unref: true },
    );
  }

  /** Never rejects: the next turn tries again. */
  async #next(): Promise<void> {
    const kept = this.#kept[this.#turn++ % this.#kept.length];
    if (kept === undefined) return;
    try {
      // A little less than a round, so that a keeper that comes back in time is not turned away by its own key.
      let leaseMs = Math.ceil(this.#roundMs * 0.8);
      for (let calls = 0; calls < mostCalls && this.#running; calls += 1) {
        const trimming = await this.#trim(kept, leaseMs);
        if (trimming === undefined) return;
        this.#count(kept, trimming);
        if (!trimming.more) return;
        leaseMs = 0;
      }
    } catch (error) {
      const { message } = describeError(error);
      this.#warnings.warn(message, `${message} (while trimming "${kept.stream}"; it is tried again)`);
    }
  }

  #trim({ keys, retention: { maxAgeMs, maxLen, hardMaxLen } }: Kept, leaseMs: number): Promise<Trimming | undefined> {
    return this.#connection.scripts.run(
      { library: 'redis-streams', operation: 'streams.trim', budgetMs: this.#options.commandTimeoutMs },
      trimScript,
      [keys.stream, keys.keeper],
      [leaseMs, maxAgeMs ?? -1, maxLen ?? -1, hardMaxLen ?? -1],
    );
  }

  #count(kept: Kept, { trimmed, lost, heldBack }: Trimming): void {
    const { stream, counters } = kept;
    counters.trimmed += trimmed;
    this.tellLost(stream, counters, lost);
    const before = kept.heldBack;
    const same = before !== undefined && before.group === heldBack?.group && before.floor === heldBack.floor;
    kept.heldBack = same ? before : heldBack && { ...heldBack, since: this.#clock.now() };
    counters.stalledGroups = this.#kept.filter((other) => other.counters === counters && this.#isStalled(other)).length;
    if (kept.heldBack === undefined || !this.#isStalled(kept)) return;
    this.#warnings.warn(
      `stalled ${kept.keys.stream}`,
      `The group "${kept.heldBack.group}" keeps "${kept.keys.stream}" from being trimmed: it has not gone on from ${kept.heldBack.floor} for a while. ` +
        'Does nobody consume it any more? Then remove it: XGROUP DESTROY.',
    );
  }

  #isStalled({ heldBack }: Kept): boolean {
    return heldBack !== undefined && this.#clock.now() - heldBack.since >= stalledAfterMs;
  }
}
