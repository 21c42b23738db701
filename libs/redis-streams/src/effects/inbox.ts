import { RedisUnavailableError } from '@redstart/redis-core';
import { backgroundCall, renewingCall, type GroupMember } from '../consumer/group.js';
import type { HeldEntry } from '../consumer/held-entry.js';
import { backoffMs, pause } from '../consumer/pause.js';
import {
  beginInboxScript,
  endInboxScript,
  freeInboxScript,
  renewInboxScript,
  type InboxState,
} from '../scripts/inbox.js';

/** What a run has noted in the inbox. */
export interface InboxNote {
  readonly key: string;
  /** Of this delivery to this consumer, and of no other. */
  readonly token: string;
  /** How long it is remembered that the message was handled. */
  readonly ttlMs: number;
}

/**
 * Remembers by message id which messages a group has handled, so that a message that comes twice has its effect once: published twice, or delivered again since its consumer died
 * after the effect and before the acknowledgement.
 *
 * A message is *absent* until a run begins; then it is *processing* under a lease, which is renewed with the entry. A run that succeeds makes it *done*, in the step that acknowledges the
 * entry; one that fails makes it absent again; and one that dies leaves it processing until the lease ends. While it is processing another delivery waits for that, without an attempt
 * being counted. When it is done, another delivery is acknowledged unseen.
 *
 * What it can't do: an effect outside Redis and the note are two steps. A process that dies between them repeats the effect; what must not be repeated even then belongs into `ctx.commit`, or is
 * made idempotent by `ctx.messageId` where it happens.
 */
export class Inbox {
  readonly #member: GroupMember;

  constructor(member: GroupMember) {
    this.#member = member;
  }

  noteOf({ source, id, deliveries }: HeldEntry, messageId: string, ttlMs: number): InboxNote {
    const { consumer, name } = this.#member;
    return {
      key: source.keys.inbox(consumer.group, messageId),
      token: `${name}/${source.retries ? 'retry/' : ''}${id}/${deliveries}`,
      ttlMs,
    };
  }

  /**
   * Asks until Redis has answered, and in time: the lease began before its answer came, and a handler that begins on what is left of it has to reach the next renewal.
   * @returns undefined when nobody waits for the answer any more
   */
  async begin(entry: HeldEntry, note: InboxNote): Promise<InboxState | undefined> {
    const { connection, options } = this.#member;
    const call = backgroundCall(this.#member, 'inbox');
    for (let failures = 1; !entry.lost && !entry.aborted; failures += 1) {
      const askedAt = connection.clock.now();
      try {
        const state = await connection.scripts.run(call, beginInboxScript, [note.key], [note.token, options.minIdleMs]);
        if (state.kind !== 'begun' || connection.clock.now() - askedAt < options.minIdleMs / 2) return state;
      } catch (error) {
        if (!(error instanceof RedisUnavailableError)) throw error;
      }
      await pause(connection.clock, backoffMs(failures), entry.signal);
    }
    return undefined;
  }

  /** Done, and acknowledged. */
  async end({ source, id }: HeldEntry, { key, token, ttlMs }: InboxNote): Promise<void> {
    const { connection, consumer } = this.#member;
    await connection.scripts.run(
      backgroundCall(this.#member, 'inbox'),
      endInboxScript,
      [source.key, key],
      [consumer.group, id, token, ttlMs, source.retries ? 1 : 0],
    );
  }

  /** Absent, if it was noted by this run. */
  async free({ key, token }: InboxNote): Promise<void> {
    await this.#member.connection.scripts.run(backgroundCall(this.#member, 'inbox'), freeInboxScript, [key], [token]);
  }

  /** Renews the leases of entries of one stream. */
  async renew(notes: readonly InboxNote[]): Promise<void> {
    if (notes.length === 0) return;
    const { connection, options } = this.#member;
    await connection.scripts.run(
      renewingCall(this.#member, 'inbox'),
      renewInboxScript,
      notes.map(({ key }) => key),
      [options.minIdleMs, ...notes.map(({ token }) => token)],
    );
  }
}
