import { RedisCommandError } from '@redstart/redis-core';
import { acknowledgeRetriesScript } from '../scripts/acknowledge-retries.js';
import { backgroundCall, type GroupMember } from './group.js';
import type { HeldEntry } from './held-entry.js';
import { backoffMs, pause } from './pause.js';
import type { Reporter } from './reporter.js';
import type { Source } from './source.js';

const largestBatch = 100;

/** Told once for each entry: whether the group counts it as pending no more, or nobody tries any further. */
type Settled = (entries: readonly HeldEntry[], acknowledged: boolean) => void;

/** Whether an entry, when Redis refuses what is to settle it, is to keep others of its key from beginning, until Redis takes it. */
export type KeepsItsKey = (entry: HeldEntry, refusal: unknown) => boolean;

/**
 * Acknowledges entries, those of one turn of the event loop together: one XACK per stream, or one per hundred.
 *
 * An entry *waits* in the list of its stream until the turn ends; then it is *sent*, and `settled` is told. To acknowledge an entry again is harmless: when
 * the outcome is unknown a batch goes back to the list, and its stream is *repeating*: one batch after the other, with growing pauses, until Redis has answered. What is
 * lost meanwhile is left to its new owner. What Redis refuses is given up, except for entries that others of their key stand behind.
 */
export class Acknowledger {
  readonly #member: GroupMember;
  readonly #reporter: Reporter;
  readonly #settled: Settled;
  readonly #keepsItsKey: KeepsItsKey;
  /** Ends the repeating. */
  readonly #abandoned: AbortSignal;
  /** Streams with something to send at the end of this turn. */
  readonly #due = new Set<Source>();
  readonly #repeating = new Set<Source>();
  #scheduled = false;

  constructor(
    member: GroupMember,
    reporter: Reporter,
    abandoned: AbortSignal,
    keepsItsKey: KeepsItsKey,
    settled: Settled,
  ) {
    this.#keepsItsKey = keepsItsKey;
    this.#member = member;
    this.#reporter = reporter;
    this.#abandoned = abandoned;
    this.#settled = settled;
  }

  acknowledge(entry: HeldEntry): void {
    const { source } = entry;
    source.handled.push(entry);
    if (this.#repeating.has(source)) return;
    this.#due.add(source);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#endOfTurn);
  }

  readonly #endOfTurn = (): void => {
    this.#scheduled = false;
    for (const source of this.#due) {
      while (source.handled.length > 0 && !this.#repeating.has(source)) void this.#send(source);
    }
    this.#due.clear();
  };

  /** Sends one batch. Never rejects. @returns whether there is an end to it, and the next one may follow at once */
  async #send(source: Source): Promise<boolean> {
    const entries = source.handled.splice(0, largestBatch);
    try {
      await this.#xack(source, entries);
      this.#settled(entries, true);
      return true;
    } catch (error) {
      this.#reporter.error(`acknowledging entries of "${this.#member.consumer.stream.name}"`, error);
      // Nobody waits for the outcome once the entry is another's; and an answer is final, where nobody's turn depends on it.
      const refused = error instanceof RedisCommandError;
      const again = this.#abandoned.aborted
        ? []
        : entries.filter((entry) => (refused ? this.#keepsItsKey(entry, error) : !entry.lost));
      source.handled.unshift(...again);
      this.#settled(
        entries.filter((entry) => !again.includes(entry)),
        false,
      );
      if (again.length > 0) this.#repeat(source);
      return again.length === 0 && (refused || this.#abandoned.aborted);
    }
  }

  #repeat(source: Source): void {
    if (this.#repeating.has(source)) return;
    this.#repeating.add(source);
    const { clock } = this.#member.connection;
    const repeat = async () => {
      let failures = 1;
      while (source.handled.length > 0 && !this.#abandoned.aborted) {
        if (failures > 0) await pause(clock, backoffMs(failures), this.#abandoned);
        failures = (await this.#send(source)) ? 0 : failures + 1;
      }
      this.#repeating.delete(source);
    };
    void repeat();
  }

  async #xack(source: Source, entries: readonly HeldEntry[]): Promise<void> {
    const { connection, consumer } = this.#member;
    const call = backgroundCall(this.#member, 'acknowledge');
    const ids = entries.map(({ id }) => id);
    if (source.retries) {
      await connection.scripts.run(call, acknowledgeRetriesScript, [source.key], [consumer.group, ...ids]);
    } else {
      await connection.call(call, (client) => client.xack(source.key, consumer.group, ...ids));
    }
  }
}
