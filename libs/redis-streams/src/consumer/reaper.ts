import type { ClaimedEntries } from '../scripts/claim.js';
import type { ConsumerTelemetry } from '../telemetry/consumer-telemetry.js';
import type { Dispatcher } from './dispatcher.js';
import type { GroupMember } from './group.js';
import type { ReaperRounds } from './reaper-rounds.js';
import type { Reporter } from './reporter.js';
import type { Source } from './source.js';
import { tellOfTrimmed } from './trimmed.js';

/** After how many calls that found nothing a sweep pauses: XAUTOCLAIM looks at ten times as many rows as it may return, so a long list takes several. */
const mostVainCalls = 10;
const largestClaim = 100;
const noRoom = { entries: 0, bytes: 0 };
/** What goes wrong at it is told as that. */
export const sweeping = 'looking for entries of dead consumers';

export interface ReaperOptions {
  readonly member: GroupMember;
  readonly sources: readonly Source[];
  readonly dispatcher: Dispatcher;
  readonly paused: { readonly paused: boolean };
  readonly telemetry: ConsumerTelemetry;
  readonly reporter: Reporter;
}

/**
 * Takes over what nobody has renewed for minIdle, in the streams of one part: the entries of consumers that died, and what others gave back.
 *
 * It begins with a *round*, together with the reapers of the group's other parts. When that did not reach the end of its pending lists it *sweeps* on by itself: with
 * XAUTOCLAIM, never asking for more entries than slots are free, and in between waiting for a slot; so a long backlog is worked off at the pace of the handlers. The sweep ends with the list, or
 * after ten calls that found nothing, and the next round goes on where it ended. None begins while no slot is free: another consumer may have one.
 * Entries that were trimmed while they were pending are told, loudly, since nobody will ever handle them. `stop` lets a call that is under way finish.
 */
export class Reaper {
  readonly sources: readonly Source[];
  readonly #options: ReaperOptions;
  readonly #rounds: ReaperRounds;
  /** Where to go on in the pending list of each stream. */
  #cursors: readonly string[];
  readonly #stopping = new AbortController();
  #sweep: Promise<void> | undefined;
  /** Calls of this sweep that found nothing, the last ones in a row. */
  #vain = 0;

  constructor(options: ReaperOptions, rounds: ReaperRounds) {
    this.#options = options;
    this.#rounds = rounds;
    this.sources = options.sources;
    this.#cursors = this.#beginning;
  }

  /** Where to go on in the pending list of each stream. */
  get cursors(): readonly string[] {
    return this.#cursors;
  }

  /** How many entries may be taken over at present, and how many bytes. */
  get room(): { readonly entries: number; readonly bytes: number } {
    const { dispatcher, paused } = this.#options;
    const { free, freeBytes } = dispatcher;
    if (paused.paused || this.#isStopped() || freeBytes <= 0) return noRoom;
    return { entries: Math.min(free, largestClaim), bytes: freeBytes };
  }

  /** That of its consumer, whose slots it fills. */
  get dispatcher(): Dispatcher {
    return this.#options.dispatcher;
  }

  get sweeping(): boolean {
    return this.#sweep !== undefined;
  }

  start(): void {
    this.#rounds.add(this);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#rounds.delete(this), this.#sweep]);
  }

  /**
   * @param claimed what a call found in each of its streams
   * @param askedAt by the local clock, when it was asked
   */
  take(claimed: readonly ClaimedEntries[], askedAt: number): void {
    const { dispatcher, reporter, telemetry } = this.#options;
    this.#cursors = claimed.map(({ cursor }) => cursor);
    let taken = 0;
    let trimmed = 0;
    claimed.forEach(({ entries, trimmed: gone, problem }, at) => {
      if (problem !== undefined) reporter.error(sweeping, new Error(problem));
      taken += entries.length;
      const source = this.sources[at];
      // What is in hand here is not lost: its handler goes on, and decides on it.
      trimmed += gone.filter((id) => source?.held.has(id) !== true).length;
      if (source !== undefined) dispatcher.accept(source, entries, askedAt);
    });
    telemetry.reclaimed(taken);
    if (trimmed > 0) tellOfTrimmed(this.#options.member, telemetry, reporter, trimmed);
    this.#vain = taken > 0 ? 0 : this.#vain + 1;
  }

  /** A call went wrong: the next one begins at the beginning. */
  restart(): void {
    this.#cursors = this.#beginning;
    this.#vain = mostVainCalls;
  }

  /** After a round: sweeps on by itself, if there is more. */
  goOn(): void {
    if (!this.#goesOn()) this.#vain = 0;
    else {
      this.#sweep = this.#sweepOn().finally(() => {
        this.#sweep = undefined;
        this.#vain = 0;
      });
    }
  }

  get #beginning(): string[] {
    return this.sources.map(() => '0-0');
  }

  #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  #goesOn(): boolean {
    const atEnd = this.#cursors.every((cursor) => cursor === '0-0');
    return !atEnd && this.#vain < mostVainCalls && !this.#options.paused.paused && !this.#isStopped();
  }

  async #sweepOn(): Promise<void> {
    while (this.#goesOn()) {
      const { dispatcher } = this.#options;
      await dispatcher.when(() => dispatcher.free > 0 && dispatcher.freeBytes > 0, this.#stopping.signal);
      // It ends where nothing more fits, as it began: another consumer may have room.
      if ((await this.#rounds.claim([this])).length === 0) return;
    }
  }
}
