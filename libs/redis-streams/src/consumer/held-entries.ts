import type { Renewal, RenewalGroup } from '@redstart/redis-core';
import type { Delivery } from '../scripts/claim.js';
import { renewScript } from '../scripts/renew.js';
import { Inbox } from '../effects/inbox.js';
import type { ConsumerTelemetry } from '../telemetry/consumer-telemetry.js';
import { isGroupGone, renewingCall, type GroupMember } from './group.js';
import { HeldEntry } from './held-entry.js';
import type { ReadAhead } from './read-ahead.js';
import type { Source } from './source.js';

/** So many entries are renewed by one script: a few milliseconds of the server. */
const renewedTogether = 200;

interface Heartbeat {
  readonly key: string;
}

/**
 * Keeps the entries of one consumer its own for as long as they are held: one timer for all of them, and one owner-checked script per stream and beat.
 *
 * An entry is *held* from `hold` to `release`. While it is held it is renewed every third of minIdle, so nobody takes it over however long its handler
 * takes. It is *lost* when Redis says that it is not ours (it was taken over while this process stood still, or acknowledged by another one), or when no renewal has succeeded for minIdle, since then it may be taken at any moment. A lost entry is renewed no more, and its signal aborts.
 * One that is *trimmed* meanwhile stays ours, without any renewal: nobody else can take what is there no more.
 *
 * Of a partition nobody takes it while the lease lasts, however long it was not renewed: it stays held, or the next one of its key would begin before it.
 */
export class HeldEntries implements RenewalGroup<Heartbeat> {
  /** How many there are, in all streams. */
  size = 0;
  /** How many bytes their fields take. */
  bytes = 0;
  readonly #member: GroupMember;
  readonly #telemetry: ConsumerTelemetry;
  readonly #ahead: ReadAhead;
  readonly #onBeat: () => void;
  readonly #inbox: Inbox;
  readonly #sources = new Set<Source>();
  #heartbeat: Renewal | undefined;

  /** @param onBeat told before each renewal */
  constructor(member: GroupMember, telemetry: ConsumerTelemetry, ahead: ReadAhead, onBeat: () => void) {
    this.#ahead = ahead;
    this.#onBeat = onBeat;
    this.#inbox = new Inbox(member);
    this.#member = member;
    this.#telemetry = telemetry;
  }

  /**
   * @param askedAt by the local clock, when they were asked for
   * @returns those that were not held already
   */
  hold(source: Source, deliveries: readonly Delivery[], askedAt: number): HeldEntry[] {
    const { connection, consumer, options } = this.#member;
    const now = connection.clock.now();
    this.#heartbeat ??= connection.leases.track(this, { key: consumer.stream.name }, options.renewEveryMs);
    this.#sources.add(source);
    const entries: HeldEntry[] = [];
    for (const delivery of deliveries) {
      if (source.held.has(delivery.id)) continue;
      const entry = new HeldEntry(source, delivery, now, askedAt + options.minIdleMs);
      source.held.set(entry.id, entry);
      this.size += 1;
      this.bytes += entry.bytes;
      entries.push(entry);
    }
    if (source.parked.size > 0) for (const { id } of entries) source.parked.delete(id);
    return entries;
  }

  release(entry: HeldEntry): void {
    const { source, id, bytes } = entry;
    if (!source.held.delete(id)) return;
    this.#member.trials.leave(entry);
    this.size -= 1;
    this.bytes -= bytes;
  }

  *[Symbol.iterator](): Iterator<HeldEntry> {
    for (const source of this.#sources) yield* source.held.values();
  }

  /** Those with a handler. */
  get running(): HeldEntry[] {
    return [...this].filter(({ running }) => running);
  }

  /** Ends the renewing, and lets go of all. @returns those with a handler */
  abandon(): HeldEntry[] {
    this.#heartbeat?.stop();
    this.#heartbeat = undefined;
    const { running } = this;
    for (const entry of [...this]) {
      entry.ended = true;
      this.release(entry);
    }
    return running;
  }

  async renew(): Promise<void> {
    this.#onBeat();
    await Promise.all([...this.#sources].map((source) => this.#renewSource(source)));
  }

  async #renewSource(source: Source): Promise<void> {
    const entries = [...source.held.values()].filter(({ committed }) => !committed);
    // Beside the entries, not behind them: a slow answer is not to shorten both leases.
    await Promise.all([
      this.#renewEntries(
        source,
        entries.filter(({ lost, trimmed }) => !lost && !trimmed),
      ),
      this.#renewNotes(entries),
    ]);
  }

  async #renewEntries(source: Source, entries: readonly HeldEntry[]): Promise<void> {
    const { connection, consumer, name, options } = this.#member;
    const call = renewingCall(this.#member, 'renew');
    for (let from = 0; from < entries.length; from += renewedTogether) {
      const some = entries.slice(from, from + renewedTogether);
      const askedAt = connection.clock.now();
      try {
        const ids = some.map(({ id }) => id);
        const found = await connection.scripts.run(call, renewScript, [source.key], [consumer.group, name, ...ids]);
        const lost = new Set(found.lost);
        const gone = new Set(found.gone);
        for (const entry of some) {
          if (lost.has(entry.id)) this.#lose(entry);
          else if (!gone.has(entry.id)) entry.renewed(askedAt, options.minIdleMs);
          // Whoever settles it finds out whether that was us.
          else if (!entry.ended && !entry.unsure && !entry.foundGone()) this.#lose(entry);
        }
      } catch (error) {
        this.#notRenewed(some, error);
      }
    }
  }

  /** Also of lost entries: while a handler goes on, whoever has its message now waits for it. */
  async #renewNotes(entries: readonly HeldEntry[]): Promise<void> {
    const notes = entries.flatMap(({ note }) => (note === undefined ? [] : [note]));
    for (let from = 0; from < notes.length; from += renewedTogether) {
      // The next beat tries again by itself.
      await this.#inbox.renew(notes.slice(from, from + renewedTogether)).catch(() => undefined);
    }
  }

  /** The next beat tries again by itself. */
  #notRenewed(entries: readonly HeldEntry[], error: unknown): void {
    const { connection, options } = this.#member;
    const now = connection.clock.now();
    for (const entry of entries) {
      const free = !entry.source.ordered && now - entry.renewedAt >= options.minIdleMs;
      if (free || isGroupGone(error)) this.#lose(entry);
    }
  }

  #lose(entry: HeldEntry): void {
    // Settled while the renewal was under way: it is nobody's, as it should be.
    if (entry.source.held.get(entry.id) !== entry || entry.lost || entry.committed) return;
    this.#telemetry.lost(entry);
    this.#ahead.suspend();
    entry.lose(new Error(`The entry ${entry.id} belongs to this consumer no more.`));
  }
}
