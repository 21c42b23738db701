import { hashSlot } from '@redstart/redis-core';
import type { StreamKeys } from '../../keys.js';
import { disownScript, ownScript, type Tenure } from '../../scripts/partitions.js';
import { backgroundCall, renewingCall, type GroupMember } from '../group.js';
import type { Reporter } from '../reporter.js';

/** So many leases are renewed by one script: less than a millisecond of the server. */
const renewedTogether = 64;

export interface LeasedPartition {
  readonly number: number;
  readonly keys: StreamKeys;
}

/** What Redis says of the lease of a partition. */
export interface LeaseAnswer {
  readonly tenure: Tenure;
  /** By the local clock, when the lease ends that was given or renewed. */
  readonly until: number;
}

/** Asks Redis for the leases of partitions, and gives them up. Those of one slot, so where there are no slots all of them, are asked for together. */
export class PartitionLeases {
  readonly #member: GroupMember;
  readonly #reporter: Reporter;
  readonly #name: string;
  readonly #leaseMs: number;
  /** Those that are being given up. */
  readonly #disowned = new Set<number>();

  /** @param name the member's, as it stands in the leases */
  constructor(member: GroupMember, reporter: Reporter, name: string, leaseMs: number) {
    this.#member = member;
    this.#reporter = reporter;
    this.#name = name;
    this.#leaseMs = leaseMs;
  }

  /**
   * Takes or renews leases, by one script per slot: for each partition GET, SET PX, and XPENDING of its streams. Never rejects.
   * @param answered told of each partition that Redis has answered for; of the others the next beat asks again
   */
  async own<P extends LeasedPartition>(
    partitions: readonly P[],
    answered: (partition: P, answer: LeaseAnswer) => void,
  ): Promise<void> {
    await Promise.all(
      this.#together(partitions).map(async (some) => {
        const answers = await this.#ask(some);
        some.forEach((partition, at) => {
          const answer = answers[at];
          try {
            if (answer !== undefined) answered(partition, answer);
          } catch (error) {
            this.#report(partition, error);
          }
        });
      }),
    );
  }

  /** Whether it is being given up: what is taken meanwhile could be given up with it. */
  disowns({ number }: LeasedPartition): boolean {
    return this.#disowned.has(number);
  }

  /** Never rejects: a lease that can't be given up ends by itself. */
  async disown({ number, keys }: LeasedPartition): Promise<void> {
    const { connection, consumer } = this.#member;
    this.#disowned.add(number);
    await connection.scripts
      .run(backgroundCall(this.#member, 'partitions'), disownScript, [keys.owner(consumer.group)], [this.#name])
      .catch((error: unknown) => {
        this.#reporter.error(`giving up the lease of the partition ${number}`, error);
      })
      .finally(() => {
        this.#disowned.delete(number);
      });
  }

  async #ask(partitions: readonly LeasedPartition[]): Promise<(LeaseAnswer | undefined)[]> {
    const { connection, consumer, name, options } = this.#member;
    const { group } = consumer;
    const until = connection.clock.now() + this.#leaseMs;
    try {
      const tenures = await connection.scripts.run(
        renewingCall(this.#member, 'partitions'),
        ownScript,
        partitions.flatMap(({ keys }) => [keys.owner(group), keys.stream, keys.retry(group)]),
        [this.#name, this.#leaseMs, group, name, options.minIdleMs],
      );
      return partitions.map((partition, at) => {
        const tenure = tenures[at] ?? 'denied';
        if (typeof tenure === 'string') return { tenure, until };
        this.#report(partition, tenure);
        return undefined;
      });
    } catch (error) {
      for (const partition of partitions) this.#report(partition, error);
      return [];
    }
  }

  #report({ number }: LeasedPartition, error: unknown): void {
    this.#reporter.error(`taking or renewing the partition ${number}`, error);
  }

  #together<P extends LeasedPartition>(partitions: readonly P[]): P[][] {
    const { connection } = this.#member;
    const open = new Map<number, P[]>();
    const groups: P[][] = [];
    for (const partition of partitions) {
      const slot = connection.cluster ? hashSlot(partition.keys.stream) : 0;
      let group = open.get(slot);
      if (group === undefined || group.length === renewedTogether) {
        group = [];
        open.set(slot, group);
        groups.push(group);
      }
      group.push(partition);
    }
    return groups;
  }
}
