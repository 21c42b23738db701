import { RedisCommandError } from '@redstart/redis-core';
import type { StreamKeys } from '../keys.js';
import { createGroupScript } from '../scripts/create-group.js';
import { StreamTypeError } from '../streams.errors.js';
import { backgroundCall, type GroupMember } from './group.js';
import type { HeldEntry } from './held-entry.js';

/** One stream that a consumer reads for its group: the stream itself, or the group's retry stream. */
export class Source {
  readonly key: string;
  /** What this consumer works on, or will in a moment, by the id of the entry. */
  readonly held = new Map<string, HeldEntry>();
  /** Handled, and to be acknowledged together. */
  readonly handled: HeldEntry[] = [];
  /** Failed here a moment ago, by the local clock, and could not be scheduled: pending under our name on purpose, so not to be mistaken for lost deliveries. */
  readonly parked = new Map<string, number>();

  constructor(
    readonly member: GroupMember,
    readonly keys: StreamKeys,
    /** Whether it is the group's retry stream: its entries have `o` and `a` in front, and are deleted when they are done with. */
    readonly retries: boolean,
    /** The partition, of a partitioned stream. */
    readonly partition: number | undefined,
    /** Whether what has been read of it may begin: the lease of its partition holds. */
    readonly holds: () => boolean,
  ) {
    this.key = retries ? keys.retry(member.consumer.group) : keys.stream;
  }

  /** Whether messages of one key are handled one after the other. */
  get ordered(): boolean {
    return this.partition !== undefined;
  }

  /** What stands in front of the ids of its dead letters: those of two partitions may be alike. */
  get prefix(): string {
    return this.partition === undefined ? '' : `${this.partition}/`;
  }

  /**
   * Creates the group, and the stream with it, if it is not there.
   *
   * @param after the id after which a new group begins; `$` for what comes from now on
   * @throws StreamTypeError when the key holds something else than a stream
   * @see  one script: XGROUP CREATE with MKSTREAM
   */
  async ensureGroup(after: string): Promise<void> {
    const { member, key } = this;
    try {
      const { connection, consumer } = member;
      await connection.scripts.run(
        backgroundCall(member, 'ensureGroup'),
        createGroupScript,
        [key],
        [consumer.group, after],
      );
    } catch (error) {
      if (!(error instanceof RedisCommandError) || error.reason !== 'WRONGTYPE') throw error;
      throw new StreamTypeError(key, { cause: error });
    }
  }

  /** The pending entries that this consumer knows of: held, or parked less than minIdle ago. */
  get knownIds(): string[] {
    const { connection, options } = this.member;
    const parkedAfter = connection.clock.now() - options.minIdleMs;
    for (const [id, parkedAt] of this.parked) {
      if (parkedAt < parkedAfter) this.parked.delete(id);
    }
    return [...this.held.keys(), ...this.parked.keys()];
  }
}
