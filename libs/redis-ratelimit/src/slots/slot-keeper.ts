import { RedisUnavailableError, type RedisConnection, type RenewalGroup } from '@redstart/redis-core';
import { callOf } from '../deciding/call-of.js';
import type { TakenSlot } from '../deciding/decided.js';
import type { LocalLimiter } from '../local/local-limiter.js';
import type { StraySlots } from './stray-slots.js';
import { extendSlotsScript } from '../scripts/extend-slots.js';

/** One slot that is being kept, and who wants to hear of it. */
interface KeptSlot extends TakenSlot {
  readonly id: string;
  /** @param sentAtMs when the extension was sent: the lease is at least as long from then on */
  readonly onExtended: (sentAtMs: number) => void;
  readonly onLost: () => void;
}

/** Keeps slots alive while their calls are under way, and frees them: three renewals in a lease, those of one Cluster slot in one script. */
export class SlotKeeper {
  readonly #connection: RedisConnection;
  readonly #local: LocalLimiter;
  readonly #budgetMs: number;
  readonly #strays: StraySlots;
  readonly #kept = new Set<KeptSlot>();
  readonly #renewals: RenewalGroup<KeptSlot> = { renew: (slots) => this.#extend(slots) };
  readonly #localRenewals: RenewalGroup<KeptSlot> = { renew: (slots) => this.#extendLocally(slots) };

  constructor(connection: RedisConnection, local: LocalLimiter, budgetMs: number, strays: StraySlots) {
    this.#connection = connection;
    this.#local = local;
    this.#budgetMs = budgetMs;
    this.#strays = strays;
    // Whoever holds one at the end of the process won't come to give it back.
    connection.beforeClose(() => this.#freeAll());
  }

  get clock() {
    return this.#connection.clock;
  }

  /** @returns ends the renewals */
  keep(slot: KeptSlot): () => void {
    const group = slot.countedBy === 'redis' ? this.#renewals : this.#localRenewals;
    const renewal = this.#connection.leases.track(group, slot, slot.leaseMs / 3);
    this.#kept.add(slot);
    return () => {
      this.#kept.delete(slot);
      renewal.stop();
    };
  }

  /**
   * Frees slots. Those that Redis does not take back now come back as soon as it does, at the latest when their leases lapse.
   * @returns whether all of them were still held, as far as is known
   */
  async free(slots: readonly TakenSlot[], id: string): Promise<boolean> {
    const locally = slots.filter(({ countedBy }) => countedBy === 'local').map(({ key }) => key);
    const held = this.#local.release(locally, id);
    const inRedis = slots.filter(({ countedBy }) => countedBy === 'redis');
    if (inRedis.length === 0) return held;
    try {
      const removed = await this.#connection.call(callOf('release', this.#budgetMs), (client) =>
        Promise.all(inRedis.map(({ key }) => client.zrem(key, id))),
      );
      return held && removed.every((count) => count === 1);
    } catch (error) {
      // The connection has told of it, and the call that held the slot is over: there is nobody whom it would help.
      if (!(error instanceof RedisUnavailableError)) throw error;
      this.#strays.add(
        inRedis.map(({ key }) => key),
        id,
      );
      return false;
    }
  }

  async #freeAll(): Promise<void> {
    await Promise.all([...this.#kept].map((slot) => this.free([slot], slot.id)));
  }

  async #extend(slots: readonly KeptSlot[]): Promise<void> {
    const sentAtMs = this.clock.now();
    const extended = await this.#connection.scripts.run(
      { ...callOf('extend', this.#budgetMs), essential: true },
      extendSlotsScript,
      slots.map(({ key }) => key),
      slots.flatMap(({ id, leaseMs }) => [id, leaseMs * 1_000]),
    );
    tell(slots, extended, sentAtMs);
  }

  #extendLocally(slots: readonly KeptSlot[]): Promise<void> {
    const extended = slots.map(({ key, id }) => this.#local.extend([key], id));
    tell(slots, extended, this.clock.now());
    return Promise.resolve();
  }
}

function tell(slots: readonly KeptSlot[], extended: readonly boolean[], atMs: number): void {
  slots.forEach((slot, index) => {
    if (extended[index] === true) slot.onExtended(atMs);
    else slot.onLost();
  });
}
