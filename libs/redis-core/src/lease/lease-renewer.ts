import { hashSlot } from '../keys/hash-slot.js';
import { quote } from '../options/quote.js';
import { OptionsError } from '../redis.errors.js';
import type { Cancel, Clock } from '../time/clock.js';

/** How the leases of one kind are renewed. */
export interface RenewalGroup<L> {
  /**
   * Renews some leases at once. The keys of one call share a cluster slot. It must settle in bounded time (a command budget does), because its
   * leases are left alone until then. A lease that turns out to be lost is to be stopped by its owner.
   */
  renew(leases: readonly L[]): Promise<void>;
  /** Hears of a call that failed as a whole. The next period tries again by itself. */
  onError?(error: unknown, leases: readonly L[]): void;
}

/** A lease that is being renewed. */
export interface Renewal {
  /** Ends it. A call that is under way may still renew the lease once. */
  stop(): void;
}

/** What every lease has. */
interface Lease {
  readonly key: string;
}

interface Tracked {
  readonly group: RenewalGroup<Lease>;
  readonly lease: Lease;
  readonly slot: number;
  readonly everyMs: number;
  /** When it is to be renewed next, on the renewer's clock. */
  dueAt: number;
  /** Its last call is still under way. */
  inFlight: boolean;
}

/** Leases that are due within this time of each other are renewed together. */
const longestWindowMs = 20;

/**
 * Renews all leases of an application in time, with one timer and few calls.
 *
 * A lease enters with `track` and is then due again and again, one period after it was last picked up. The timer stands at the earliest moment at
 * which any lease is due, and there is none while nothing is tracked. When it fires, the leases that are due now or within a moment (20 ms, at most a tenth
 * of their period) leave together: one call for each group and cluster slot. While its call is under way a lease is passed over, so a slow
 * server never sees the same lease twice at a time. A call that fails is told to its group, and the next period tries again. A lease
 * leaves for good when its `stop` is called; `stop` of the renewer lets all of them go.
 *
 * The timer doesn't keep the process alive: a lease is always held for some other work.
 */
export class LeaseRenewer {
  readonly #clock: Clock;
  readonly #slotOf: (key: string) => number;
  /**
   * The leases by their period. Within a lane each one is put last whenever its next moment is set, so the first is always the next one due, and nothing
   * has to be sorted or searched.
   */
  readonly #lanes = new Map<number, Set<Tracked>>();
  #timer: { readonly dueAt: number; readonly cancel: Cancel } | undefined;

  /** @param slotOf leases of one slot are renewed together; where there is only one server, give all of them the same */
  constructor(clock: Clock, slotOf: (key: string) => number = hashSlot) {
    this.#clock = clock;
    this.#slotOf = slotOf;
  }

  /** How many leases are being renewed. */
  get size(): number {
    let size = 0;
    for (const lane of this.#lanes.values()) size += lane.size;
    return size;
  }

  /**
   * Renews a lease every `everyMs`, for the first time one period from now, until the renewal is stopped.
   *
   * @param everyMs milliseconds, greater than 0; a third of the lease's ttl leaves room for two failures
   * @throws OptionsError when `everyMs` is no such number
   */
  track<L extends Lease>(group: RenewalGroup<L>, lease: L, everyMs: number): Renewal {
    if (!(everyMs > 0 && everyMs < Infinity)) {
      throw new OptionsError('everyMs', `${quote(everyMs)} is not a number of milliseconds greater than 0.`);
    }
    const tracked: Tracked = { group, lease, slot: this.#slotOf(lease.key), everyMs, dueAt: 0, inFlight: false };
    this.#putLast(tracked, this.#clock.now());
    this.#arm();
    return {
      stop: () => {
        this.#forget(tracked);
      },
    };
  }

  /** Forgets every lease. A later `track` starts anew. */
  stop(): void {
    this.#lanes.clear();
    this.#arm();
  }

  #putLast(tracked: Tracked, now: number): void {
    const lane = this.#lanes.get(tracked.everyMs) ?? new Set();
    this.#lanes.set(tracked.everyMs, lane);
    lane.delete(tracked);
    tracked.dueAt = now + tracked.everyMs;
    lane.add(tracked);
  }

  #forget(tracked: Tracked): void {
    const lane = this.#lanes.get(tracked.everyMs);
    if (!lane?.delete(tracked) || lane.size > 0) return;
    this.#lanes.delete(tracked.everyMs);
    if (this.#lanes.size === 0) this.#arm();
  }

  /** Puts the timer at the earliest moment at which a lease is due. One that already stands before it may fire in vain, which is cheaper than moving it. */
  #arm(): void {
    let dueAt = Infinity;
    for (const lane of this.#lanes.values()) {
      const [first] = lane;
      if (first) dueAt = Math.min(dueAt, first.dueAt);
    }
    if (dueAt < Infinity && this.#timer && this.#timer.dueAt <= dueAt) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (dueAt === Infinity) return;
    const cancel = this.#clock.after(
      dueAt - this.#clock.now(),
      () => {
        this.#timer = undefined;
        this.#renewDue();
        this.#arm();
      },
      { unref: true },
    );
    this.#timer = { dueAt, cancel };
  }

  /** Takes what is due out of the lanes and sends it off. */
  #renewDue(): void {
    const now = this.#clock.now();
    const calls = new Map<RenewalGroup<Lease>, Map<number, Tracked[]>>();
    for (const [everyMs, lane] of this.#lanes) {
      const until = now + Math.min(longestWindowMs, everyMs / 10);
      for (const tracked of lane) {
        if (tracked.dueAt > until) break;
        this.#putLast(tracked, now);
        if (!tracked.inFlight) add(calls, tracked);
      }
    }
    for (const [group, slots] of calls) {
      for (const due of slots.values()) void renew(group, due);
    }
  }
}

function add(calls: Map<RenewalGroup<Lease>, Map<number, Tracked[]>>, tracked: Tracked): void {
  const slots = calls.get(tracked.group) ?? new Map<number, Tracked[]>();
  calls.set(tracked.group, slots);
  const due = slots.get(tracked.slot);
  if (due) due.push(tracked);
  else slots.set(tracked.slot, [tracked]);
}

/** One call. Never rejects: what fails is told to the group. */
async function renew(group: RenewalGroup<Lease>, due: readonly Tracked[]): Promise<void> {
  const leases = due.map(({ lease }) => lease);
  for (const tracked of due) tracked.inFlight = true;
  try {
    await group.renew(leases);
  } catch (error) {
    try {
      group.onError?.(error, leases);
    } catch {
      // Nobody is left who could be told, and the leases go on: each owner watches its own deadline.
    }
  } finally {
    for (const tracked of due) tracked.inFlight = false;
  }
}
