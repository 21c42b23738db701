import { RedisUnavailableError } from '@redstart/redis-core';
import { Inbox } from '../effects/inbox.js';
import { carriedFields } from '../message/carried-fields.js';
import type { RawEntry } from '../message/envelope.js';
import { deadLetterScript } from '../scripts/dead-letter.js';
import type { NotOurs } from '../scripts/lua-standing.js';
import { releaseScript } from '../scripts/release.js';
import { retryScript } from '../scripts/retry.js';
import { Acknowledger, type KeepsItsKey } from './acknowledger.js';
import type { ConsumerTelemetry } from '../telemetry/consumer-telemetry.js';
import { deadLetterFields, type DeadLetterCause } from './dead-letter.js';
import { backgroundCall, isGroupGone, mayBeDone, type GroupMember } from './group.js';
import type { HeldEntry } from './held-entry.js';
import { backoffMs, pause } from './pause.js';
import type { Reporter } from './reporter.js';
import type { Source } from './source.js';
import type { Verdict } from './verdict.js';

/** Told of an entry of the dead letters that was just written. Never throws. */
export type Buried = (letter: RawEntry, source: Source) => void;

/** So many are given back by one script. */
const givenBackTogether = 200;

/**
 * Tells Redis what became of entries, and goes on telling until it has answered.
 *
 * Only what its consumer still owns is scheduled again, dead-lettered or given back: each is one owner-checked script, so to repeat it after an unknown outcome changes nothing.
 * An entry that was trimmed while it was held is in nobody's hands but ours: its message is scheduled again or dead-lettered all the same, and instead of being given back it comes again by the retry stream, at once.
 *
 * What Redis *refuses* it is not asked for again, and the entry stays pending. Only where there is an order to keep it is: an entry that were let go unsettled would come again behind those of its key that have begun meanwhile. So it
 * goes on being the first of its key, until Redis takes it after all, or it is lost, or on its way to another consumer with all that stands behind it.
 */
export class Settlement {
  readonly #member: GroupMember;
  readonly #telemetry: ConsumerTelemetry;
  readonly #reporter: Reporter;
  readonly #abandoned: AbortSignal;
  readonly #settled: (entry: HeldEntry) => void;
  readonly #buried: Buried | undefined;
  readonly #acknowledger: Acknowledger;
  readonly #keepsItsKey: KeepsItsKey;
  readonly #inbox: Inbox;

  /**
   * @param settled told once of each entry that has been settled, or given up
   * @param leaves whether an entry is about to go to another consumer, and nothing begins behind it here
   * @param buried told of each dead letter
   */
  constructor(
    member: GroupMember,
    telemetry: ConsumerTelemetry,
    reporter: Reporter,
    abandoned: AbortSignal,
    settled: (entry: HeldEntry) => void,
    leaves: (entry: HeldEntry) => boolean,
    buried: Buried | undefined,
  ) {
    this.#buried = buried;
    this.#member = member;
    this.#inbox = new Inbox(member);
    this.#telemetry = telemetry;
    this.#reporter = reporter;
    this.#abandoned = abandoned;
    this.#settled = settled;
    this.#keepsItsKey = (entry, refusal) =>
      entry.laneId !== undefined && !(entry.lost || leaves(entry) || isGroupGone(refusal)) && entry.source.holds();
    const told = (entries: readonly HeldEntry[], acknowledged: boolean) => {
      for (const entry of entries) {
        if (acknowledged && entry.outcome !== undefined) telemetry.acknowledged(entry, entry.outcome);
        settled(entry);
      }
    };
    this.#acknowledger = new Acknowledger(member, reporter, abandoned, this.#keepsItsKey, told);
  }

  settle(entry: HeldEntry, verdict: Verdict): void {
    switch (verdict.kind) {
      case 'handled':
      case 'unhandled':
      case 'duplicate':
        entry.outcome = verdict.kind;
        if (entry.note === undefined || entry.committed) this.#acknowledger.acknowledge(entry);
        else this.#repeat(entry, () => this.#end(entry));
        return;
      case 'retry':
        this.#repeat(entry, () => this.#retry(entry, verdict.delayMs, 1));
        return;
      case 'later':
        this.#repeat(entry, () => this.#retry(entry, verdict.delayMs, 0));
        return;
      case 'dead':
        this.#repeat(entry, () => this.#deadLetter(entry, verdict.cause));
        return;
      case 'interrupted':
        this.#repeat(entry, async () => {
          await this.#free(entry);
          await this.#release([entry]);
          if (entry.trimmed) await this.#retry(entry, 0, 0);
        });
    }
  }

  /** Lets another run of the entry begin. Never rejects: the note ends by itself. */
  async free(entry: HeldEntry): Promise<void> {
    await this.#free(entry).catch((error: unknown) => {
      this.#reporter.error(`letting the entry ${entry.id} begin anew`, error);
    });
    entry.note = undefined;
  }

  /** Never rejects: what can't be given back stays pending, and is free after minIdle. What was trimmed is sent again. */
  async giveBack(entries: readonly HeldEntry[]): Promise<void> {
    for (const some of chunks(entries)) {
      await this.#release(some).catch((error: unknown) => {
        this.#reporter.error('giving entries back', error);
      });
      for (const entry of some) {
        if (entry.trimmed) this.#repeat(entry, () => this.#retry(entry, 0, 0));
        else this.#settled(entry);
      }
    }
  }

  /** Those that were trimmed while they were ours can't be given back. */
  async #release(entries: readonly HeldEntry[]): Promise<void> {
    const { connection, consumer, name, options } = this.#member;
    const call = backgroundCall(this.#member, 'release');
    for (const source of new Set(entries.map((entry) => entry.source))) {
      const some = entries.filter((entry) => entry.source === source);
      const rows = some.flatMap(({ id, countBefore }) => [id, countBefore]);
      const args = [consumer.group, name, options.minIdleMs, ...rows];
      const gone = await connection.scripts.run(call, releaseScript, [source.key], args);
      for (const entry of some) if (gone.includes(entry.id)) entry.foundGone();
    }
  }

  /** With the note that the message was handled. */
  async #end(entry: HeldEntry): Promise<void> {
    if (entry.note === undefined) return;
    await this.#inbox.end(entry, entry.note);
    this.#telemetry.acknowledged(entry, 'handled');
  }

  /** Lets another run begin. */
  async #free({ note }: HeldEntry): Promise<void> {
    if (note !== undefined) await this.#inbox.free(note);
  }

  /** @param failed 1 when it counts as a failed attempt, otherwise 0 */
  async #retry(entry: HeldEntry, delayMs: number, failed: 0 | 1): Promise<void> {
    await this.#free(entry);
    const { connection, consumer, delays, name } = this.#member;
    const { source, originId, failures, fields } = entry;
    const queue = delays.queue(source.keys.retry(consumer.group));
    const { due, delayed } = queue.keys;
    await this.#whoever(entry, (trimmed) =>
      connection.scripts.run(
        backgroundCall(this.#member, 'retry'),
        retryScript,
        [source.key, due, delayed],
        [
          ...[consumer.group, name, entry.id, delayMs, originId, source.retries ? 1 : 0, trimmed],
          ...['o', originId, 'a', failures + failed],
          ...carriedFields(fields),
        ],
      ),
    );
    queue.expect(delayMs);
    if (failed === 1) this.#telemetry.retried(entry);
  }

  async #deadLetter(entry: HeldEntry, cause: DeadLetterCause): Promise<void> {
    await this.#free(entry);
    const { connection, consumer, name, options } = this.#member;
    const { source } = entry;
    const fields = deadLetterFields(this.#member, entry, cause);
    const letter = await this.#whoever(entry, (trimmed) =>
      connection.scripts.run(
        backgroundCall(this.#member, 'deadLetter'),
        deadLetterScript,
        [source.key, source.keys.deadLetters(consumer.group)],
        [consumer.group, name, entry.id, options.deadLettersMaxLen, source.retries ? 1 : 0, trimmed, ...fields],
      ),
    );
    if (typeof letter === 'string') return;
    if (letter.dropped > 0) this.#tellOfDropped(letter.dropped);
    this.#telemetry.deadLettered(entry, cause.reason);
    this.#buried?.(
      { id: letter.id, fields: fields.map((field) => (typeof field === 'string' ? Buffer.from(field) : field)) },
      source,
    );
  }

  #tellOfDropped(count: number): void {
    const { consumer, options } = this.#member;
    this.#telemetry.dropped(count);
    this.#reporter.warn(
      'dropped',
      `${count} of the oldest dead letters of "${consumer.stream.name}" and the group "${consumer.group}" were dropped: there are more than deadLetters.maxLen, ${options.deadLettersMaxLen}.`,
    );
  }

  /**
   * Runs a script that settles an entry which is ours, once more when it was trimmed meanwhile.
   *
   * After a call whose reply was lost nobody knows whether it was we who settled the entry, before retention had it trimmed.
   */
  async #whoever<T>(entry: HeldEntry, run: (trimmed: 0 | 1) => Promise<T | NotOurs>): Promise<T | NotOurs> {
    try {
      const outcome = await run(entry.trimmed ? 1 : 0);
      return outcome === 'gone' && entry.foundGone() ? await run(1) : outcome;
    } catch (error) {
      entry.unsure ||= mayBeDone(error);
      throw error;
    }
  }

  /** Repeats what settles an entry through an outage. Given up, the entry stays pending, and is delivered again after minIdle. */
  #repeat(entry: HeldEntry, attempt: () => Promise<void>): void {
    const repeat = async () => {
      for (let failures = 1; !entry.lost || entry.outcome === 'handled'; failures += 1) {
        try {
          await attempt();
          return;
        } catch (error) {
          // An answer, or a fault of ours: no repetition changes it, but somebody might.
          const refused = !(error instanceof RedisUnavailableError);
          const waits = refused && this.#keepsItsKey(entry, error);
          const consequence = waits ? '; until that is taken, no other message of its key begins' : '';
          this.#reporter.error(`settling the entry ${entry.id}${consequence}`, error);
          if (refused && !waits) break;
        }
        if (this.#abandoned.aborted) break;
        await pause(this.#member.connection.clock, backoffMs(failures), this.#abandoned);
      }
      entry.source.parked.set(entry.id, this.#member.connection.clock.now());
    };
    void repeat().finally(() => {
      this.#settled(entry);
    });
  }
}

function* chunks(entries: readonly HeldEntry[]): Generator<readonly HeldEntry[]> {
  for (let from = 0; from < entries.length; from += givenBackTogether)
    yield entries.slice(from, from + givenBackTogether);
}
