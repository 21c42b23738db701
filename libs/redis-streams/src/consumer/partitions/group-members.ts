import type { Subscription } from '@redstart/redis-core';
import { joinScript } from '../../scripts/partitions.js';
import { backgroundCall, renewingCall, type GroupMember } from '../group.js';
import type { Reporter } from '../reporter.js';

/** The members of a group that share the partitions of a stream, as one of them sees them: who is alive, and what they tell each other. */
export class GroupMembers {
  /** Its name among the members. With the stream in it: members that share several streams don't get the same part of each. */
  readonly name: string;
  readonly #member: GroupMember;
  readonly #reporter: Reporter;
  readonly #key: string;
  readonly #leaseMs: number;
  #known = '';
  #subscription: Subscription | undefined;
  #listening = false;

  /** @param key of the members, and the channel that tells of changes */
  constructor(member: GroupMember, reporter: Reporter, key: string, leaseMs: number) {
    this.name = `${member.name}:${member.consumer.stream.name}`;
    this.#member = member;
    this.#reporter = reporter;
    this.#key = key;
    this.#leaseMs = leaseMs;
  }

  /** Hears of changes until `close`. @param changed told of each, and when one may have been missed */
  listen(changed: () => void): void {
    this.#listening = true;
    this.#member.connection.subscriber.subscribe(this.#key, { onMessage: changed, onGap: changed }).then(
      (subscription) => {
        if (!this.#listening) {
          void subscription.close();
          return;
        }
        this.#subscription = subscription;
        // What was told before this has been heard by nobody.
        changed();
      },
      (error: unknown) => {
        this.#reporter.error('listening for changes of the members', error);
      },
    );
  }

  /** Hears of nothing any more. */
  async close(): Promise<void> {
    this.#listening = false;
    await this.#subscription?.close();
  }

  /**
   * Says that this one is alive.
   * @returns who is, and whether that has changed since
   */
  async join(): Promise<{ names: readonly string[]; changed: boolean }> {
    const names = await this.#member.connection.scripts.run(
      renewingCall(this.#member, 'partitions'),
      joinScript,
      [this.#key],
      [this.name, this.#leaseMs],
    );
    const known = names.toSorted().join('\n');
    const changed = known !== this.#known;
    this.#known = known;
    return { names, changed };
  }

  /** Never rejects: who is not heard of is forgotten when its lease has ended. */
  async leave(): Promise<void> {
    await this.#member.connection
      .call(backgroundCall(this.#member, 'leave'), (client) => client.zrem(this.#key, this.name))
      .then(() => this.tellOthers())
      .catch((error: unknown) => {
        this.#reporter.error('leaving the members', error);
      });
  }

  /** Never rejects. */
  async tellOthers(): Promise<void> {
    const { connection } = this.#member;
    await connection
      .call(backgroundCall(this.#member, 'partitions'), (client) =>
        connection.subscriber.publish(client, this.#key, 'changed'),
      )
      .catch(() => {
        // They find out with their next beat.
      });
  }
}
