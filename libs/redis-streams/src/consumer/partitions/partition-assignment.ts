import type { Cancel } from '@redstart/redis-core';
import type { StreamKeys } from '../../keys.js';
import type { HeldEntry } from '../held-entry.js';
import { StreamPart, type PartContext } from '../stream-part.js';
import { GroupMembers } from './group-members.js';
import { Lease } from './lease.js';
import { PartitionLeases, type LeaseAnswer } from './partition-leases.js';
import { rendezvousOwner } from './rendezvous.js';

/** How often leases are renewed within their term. */
const beatsPerLease = 3;
/** Members that hear of a change look so long after it at most, each at its own moment. */
const nudgeMs = 50;

/** One partition, as this member sees it. */
interface Partition {
  readonly number: number;
  readonly keys: StreamKeys;
  /** Set from when it is taken until it has been given up. */
  owned?: {
    readonly part: StreamPart;
    readonly lease: Lease;
    /** Others should have it: it is given up when nothing of it is in flight. */
    revoking: boolean;
  };
  /** The reading of an earlier tenure has not ended yet: what it is given would get in among that of the next one. */
  ending: boolean;
}

/**
 * Shares the partitions of a stream among the live members of a group, so that each has one owner at a time.
 *
 * Each member notes that it is alive with every *beat*, three times per lease, and learns who else is; beside that, whatever becomes of it, it renews what it owns. Rendezvous hashing says whom each partition should belong to. What should be ours and has no owner is *taken*: a lease in
 * Redis, and then all that is pending in it, from whomever, the oldest first, before anything new. What should be another's is *revoked*: no more is read, what has not begun is given back, and when what runs has been settled the lease is
 * given up; until then it is renewed, so the next owner never works on the partition beside this one. Members tell each other of changes, so nobody waits for the next beat.
 *
 * A lease that could not be renewed in time is *lost*, by the local clock before Redis gives it to anybody else: what waits is dropped, signals abort, and what its reads still bring is left pending. When it is ours
 * again, that begins anew, as for any next owner, and not before the last read of the lost one has ended. A read is only begun when the lease outlasts its BLOCK; one that is late all the same may take entries from the next owner,
 * who finds them before it begins what comes behind, and with each beat.
 *
 * `stop` ends the reading of all partitions while leases go on; `leave` gives them up, after everything was settled.
 */
export class PartitionAssignment {
  readonly #context: PartContext;
  readonly #members: GroupMembers;
  readonly #partitions: readonly Partition[];
  readonly #leaseMs: number;
  readonly #leases: PartitionLeases;
  #cancel: Cancel = () => undefined;
  #plannedAt = Infinity;
  #beating: Promise<void> = Promise.resolve();
  #state: 'idle' | 'sharing' | 'stopping' | 'left' = 'idle';
  readonly #revocations = new Set<Promise<void>>();
  readonly #endings = new Set<Promise<void>>();
  readonly #beginnings = new Set<Promise<void>>();
  /** Leases in our name, of partitions that are not owned. */
  readonly #stray = new Set<Partition>();
  /** What should be ours, as far as was known last. */
  #wanted: ReadonlySet<Partition> = new Set();

  constructor(context: PartContext, membersKey: string, partitions: readonly StreamKeys[]) {
    const { member, reporter } = context;
    const { minIdleMs, blockMs } = member.options;
    this.#context = context;
    this.#partitions = partitions.map((keys, number) => ({ number, keys, ending: false }));
    this.#leaseMs = Math.max(minIdleMs, 4 * blockMs);
    this.#members = new GroupMembers(member, reporter, membersKey, this.#leaseMs);
    this.#leases = new PartitionLeases(member, reporter, this.#members.name, this.#leaseMs);
  }

  /** The numbers of the partitions that this member owns. */
  get owned(): number[] {
    return this.#partitions.flatMap(({ number, owned }) => (owned === undefined ? [] : [number]));
  }

  get parts(): StreamPart[] {
    return this.#partitions.flatMap(({ owned }) => (owned === undefined ? [] : [owned.part]));
  }

  async start(): Promise<void> {
    this.#state = 'sharing';
    this.#members.listen(() => {
      this.#plan(Math.random() * nudgeMs);
    });
    this.#beating = this.#beat();
    await this.#beating;
    await Promise.all(this.#beginnings);
  }

  /** Resolves when nothing is read any more; the leases go on. */
  async stop(): Promise<void> {
    if (this.#state === 'sharing') this.#state = 'stopping';
    // A partition that is being taken at this moment is stopped with the others.
    await this.#beating;
    await this.#members.close();
    await Promise.all([...this.#beginnings, ...this.#endings, ...this.parts.map((part) => part.stop())]);
  }

  /** @param stillRunning entries whose handlers had not ended */
  async leave(stillRunning: readonly HeldEntry[]): Promise<void> {
    this.#state = 'left';
    this.#cancel();
    await this.#beating;
    for (const partition of this.#partitions) {
      if (partition.owned === undefined) continue;
      await partition.owned.part.leave(stillRunning);
      // A handler that ignores its signal still works on its key: others begin when the lease has ended.
      const busy = stillRunning.some(({ source }) => source.partition === partition.number);
      if (!busy) await this.#disown(partition);
    }
    await this.#giveUpStray();
    await this.#members.leave();
  }

  #plan(ms: number): void {
    const { clock } = this.#context.member.connection;
    const at = clock.now() + ms;
    if (this.#state === 'left' || at >= this.#plannedAt) return;
    this.#cancel();
    this.#plannedAt = at;
    this.#cancel = clock.after(
      ms,
      () => {
        this.#beating = this.#beating.then(() => this.#beat());
      },
      { unref: true },
    );
  }

  /** Never rejects: the next beat tries again. It comes so long after this one has begun, however long Redis took to answer: a lease does not wait. */
  async #beat(): Promise<void> {
    const { member, reporter } = this.#context;
    const { clock } = member.connection;
    const begunAt = clock.now();
    this.#plannedAt = Infinity;
    try {
      if (this.#state !== 'left') await this.#share();
    } catch (error) {
      reporter.error('sharing the partitions', error);
    }
    const everyMs = (this.#leaseMs / beatsPerLease) * (0.8 + Math.random() * 0.2);
    this.#plan(Math.max(0, begunAt + everyMs - clock.now()));
  }

  /** The leases are renewed beside looking who is alive: neither waits for the other, or fails with it. */
  async #share(): Promise<void> {
    const renewed = this.#renew();
    try {
      const { names, changed } = await this.#members.join();
      this.#wanted = new Set(
        this.#partitions.filter(({ number }) => rendezvousOwner(number, names) === this.#members.name),
      );
      if (this.#state === 'sharing') await this.#takeWanted();
      if (this.#state === 'sharing') this.#revokeUnwanted();
      // Never rejects, and need not be waited for.
      if (changed) void this.#members.tellOthers();
    } finally {
      await renewed;
      await this.#giveUpStray();
    }
  }

  /** Never rejects. */
  async #renew(): Promise<void> {
    // A process that stood still learns here that its time is over.
    for (const partition of this.#partitions) if (partition.owned?.lease.holds === false) this.#lose(partition);
    const asked = this.#partitions.filter(({ owned }) => owned !== undefined);
    const tenures = new Map(asked.map((partition) => [partition, partition.owned]));
    await this.#leases.own(asked, (partition, answer) => {
      this.#renewed(partition, tenures.get(partition), answer);
    });
  }

  /** Never rejects. */
  async #takeWanted(): Promise<void> {
    const free = [...this.#wanted].filter(
      (partition) => partition.owned === undefined && !partition.ending && !this.#leases.disowns(partition),
    );
    await this.#leases.own(free, (partition, { tenure, until }) => {
      if (tenure !== 'denied') this.#take(partition, until);
    });
  }

  #revokeUnwanted(): void {
    for (const partition of this.#partitions) if (!this.#wanted.has(partition)) this.#revoke(partition);
  }

  /** Redis has answered. @param asked the tenure that it was asked for */
  #renewed(partition: Partition, asked: Partition['owned'], { tenure, until }: LeaseAnswer): void {
    const { owned } = partition;
    // Given up meanwhile: the answer is about a tenure that is over.
    if (owned !== undefined && owned === asked) {
      // Taken anew: it was free for a while, and others may have had it.
      const kept = (tenure === 'kept' || tenure === 'strayed') && owned.lease.renew(until);
      if (!kept) this.#lose(partition);
      else if (tenure === 'strayed') owned.part.refresh();
    }
    if (partition.owned === undefined && tenure !== 'denied') this.#stray.add(partition);
  }

  /** Nobody else could have a partition as long as a lease in our name lasts. Never rejects. */
  async #giveUpStray(): Promise<void> {
    await Promise.all(
      [...this.#stray].map(async (partition) => {
        const isWanted = this.#wanted.has(partition) && this.#state === 'sharing';
        // It is taken again with the next beat.
        if (partition.owned === undefined && isWanted) return;
        this.#stray.delete(partition);
        if (partition.owned === undefined) await this.#leases.disown(partition);
      }),
    );
  }

  /** Its reading begins in the background: whoever has more of them goes on renewing those. */
  #take(partition: Partition, until: number): void {
    const { member, reporter } = this.#context;
    const { consumer, connection, options } = member;
    const lease = new Lease(connection.clock, until, () => {
      if (partition.owned?.lease === lease) this.#lose(partition);
    });
    const denied = () => {
      if (partition.owned?.lease === lease) this.#lose(partition);
    };
    const part = new StreamPart(this.#context, partition.keys, partition.number, {
      ownership: { key: partition.keys.owner(consumer.group), owner: this.#members.name, denied },
      holds: () => lease.holds,
      lasts: () => lease.outlasts(options.blockMs),
    });
    partition.owned = { part, lease, revoking: false };
    const beginning = part
      .start()
      .catch((error: unknown) => {
        reporter.error(`beginning to read the partition ${partition.number}`, error);
      })
      .finally(() => {
        this.#beginnings.delete(beginning);
      });
    this.#beginnings.add(beginning);
  }

  #revoke(partition: Partition): void {
    const { owned } = partition;
    if (owned === undefined || owned.revoking) return;
    owned.revoking = true;
    const { dispatcher, member } = this.#context;
    const revoke = async () => {
      await owned.part.stop();
      await dispatcher.revoke(owned.part.sources, member.options.drainTimeoutMs);
      // Who leaves meanwhile gives everything up but what handlers still work on.
      if (partition.owned !== owned || this.#state === 'left') return;
      await owned.part.leave([]);
      if (partition.owned !== owned) return;
      await this.#disown(partition);
      await this.#members.tellOthers();
    };
    const revocation = revoke()
      .catch((error: unknown) => {
        this.#context.reporter.error(`giving up the partition ${partition.number}`, error);
      })
      .finally(() => {
        this.#revocations.delete(revocation);
      });
    this.#revocations.add(revocation);
  }

  async #disown(partition: Partition): Promise<void> {
    partition.owned?.lease.end();
    delete partition.owned;
    await this.#leases.disown(partition);
  }

  /** Somebody else may have it by now. */
  #lose(partition: Partition): void {
    const { owned } = partition;
    if (owned === undefined) return;
    owned.lease.end();
    delete partition.owned;
    const { dispatcher, member, reporter } = this.#context;
    reporter.warn(
      'partition',
      `The partition ${partition.number} of "${member.consumer.stream.name}" was lost: its lease could not be renewed in time.`,
    );
    dispatcher.abandon(owned.part.sources);
    partition.ending = true;
    const ended = owned.part
      .stop()
      .catch((error: unknown) => {
        reporter.error(`ending the reading of the partition ${partition.number}`, error);
      })
      .finally(() => {
        partition.ending = false;
        this.#endings.delete(ended);
        if (this.#state === 'sharing') this.#plan(0);
      });
    this.#endings.add(ended);
  }
}
