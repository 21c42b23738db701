import type { Renewal, RenewalGroup } from '@redstart/redis-core';
import type { Delivery } from '../scripts/claim.js';
import { renewScript } from '../scripts/renew.js';
import { backgroundCall, isGroupGone, type GroupMember } from './group.js';

/** An entry that this consumer works on, or will in a moment. */
export interface HeldEntry {
  readonly key: string;
  readonly delivery: Delivery;
  /** Aborted when the entry is lost, or the time to finish is over. */
  readonly abort: AbortController;
  /** Not owned any more: it must be neither retried nor dead-lettered from here. */
  lost: boolean;
  /** By the local clock, when it was surely ours for the last time. */
  renewedAt: number;
}

/**
 * Keeps the entries of one consumer its own for as long as they are held, with one owner-checked script per period.
 *
 * An entry is *held* from `hold` to `release`. While it is held it is renewed every third of minIdle, so nobody takes it over however long its handler
 * takes. It is *lost* when Redis says that it is not ours (it was taken over while this process stood still, acknowledged by another one, or its stream was
 * deleted), or when no renewal has succeeded for minIdle, since then it may be taken at any moment. A lost entry is renewed no more, and its signal aborts.
 */
export class HeldEntries implements RenewalGroup<HeldEntry> {
  readonly #member: GroupMember;
  readonly #onLost: (entry: HeldEntry) => void;
  readonly #held = new Map<string, { entry: HeldEntry; renewal: Renewal }>();

  constructor(member: GroupMember, onLost: (entry: HeldEntry) => void) {
    this.#member = member;
    this.#onLost = onLost;
  }

  get size(): number {
    return this.#held.size;
  }

  get ids(): string[] {
    return [...this.#held.keys()];
  }

  get entries(): HeldEntry[] {
    return [...this.#held.values()].map(({ entry }) => entry);
  }

  has(id: string): boolean {
    return this.#held.has(id);
  }

  hold(delivery: Delivery): HeldEntry {
    const { connection, keys, options } = this.#member;
    const renewedAt = connection.clock.now();
    const entry: HeldEntry = { key: keys.stream, delivery, abort: new AbortController(), lost: false, renewedAt };
    const renewal = connection.leases.track(this, entry, options.renewEveryMs);
    this.#held.set(delivery.id, { entry, renewal });
    return entry;
  }

  release({ delivery: { id } }: HeldEntry): void {
    this.#held.get(id)?.renewal.stop();
    this.#held.delete(id);
  }

  async renew(entries: readonly HeldEntry[]): Promise<void> {
    const { connection, keys, consumer, name } = this.#member;
    const askedAt = connection.clock.now();
    const ids = entries.map(({ delivery }) => delivery.id);
    const call = backgroundCall(this.#member, 'renew');
    const lost = new Set(
      await connection.scripts.run(call, renewScript, [keys.stream], [consumer.group, name, ...ids]),
    );
    for (const entry of entries) {
      if (lost.has(entry.delivery.id)) this.#lose(entry);
      else entry.renewedAt = askedAt;
    }
  }

  onError(error: unknown, entries: readonly HeldEntry[]): void {
    const { connection, options } = this.#member;
    const now = connection.clock.now();
    for (const entry of entries) {
      if (isGroupGone(error) || now - entry.renewedAt >= options.minIdleMs) this.#lose(entry);
    }
  }

  #lose(entry: HeldEntry): void {
    const held = this.#held.get(entry.delivery.id);
    // Settled while the renewal was under way: it is nobody's, as it should be.
    if (held?.entry !== entry || entry.lost) return;
    entry.lost = true;
    held.renewal.stop();
    this.#onLost(entry);
    entry.abort.abort(new Error(`The entry ${entry.delivery.id} belongs to this consumer no more.`));
  }
}
