import type { Duration } from '@redstart/redis-core';
import type { Effects } from '../effects/commit.js';
import type { MessageHeaders } from '../message/envelope.js';

/** What a handler learns of its message beside the payload, and can ask for. */
export interface StreamContext {
  /** The entry's id in the stream, `<ms>-<n>`; the same at every attempt. */
  readonly id: string;
  /** The publisher's `messageId`, or the entry's id when it gave none. The same at every delivery: what to make effects idempotent by. */
  readonly messageId: string;
  readonly stream: string;
  readonly group: string;
  readonly type: string;
  /** The publisher's `key`; empty when it gave none. */
  readonly key: string;
  /** Which run this is, 1 for the first: one more than the handler has failed. A delivery whose consumer died is no failure of the handler. */
  readonly attempt: number;
  /** How often the group has been given the message, this time included; also counts deliveries whose consumer died. */
  readonly deliveries: number;
  readonly headers: MessageHeaders;
  /** When the entry was added, by the server's clock. */
  readonly publishedAt: Date;
  /**
   * Aborts when the entry does not belong to this consumer any more (another one has taken it over, or the stream is gone), when the handler's `timeout` is over, and when the time to
   * finish at shutdown is. What the handler does after that may be done a second time.
   */
  readonly signal: AbortSignal;
  /**
   * Lets the message come again instead of being acknowledged, once the handler has ended. That counts as an attempt: after the last one it is a dead letter.
   *
   * @param options.delay until then, instead of the handler's backoff
   * @throws OptionsError for what is no duration
   */
  readonly retry: (options?: { delay?: Duration }) => void;
  /** Makes the message a dead letter of the reason `unrecoverable`, with this text, once the handler has ended. */
  readonly deadLetter: (reason: string) => void;
  /**
   * Carries out commands of Redis and acknowledges the message, in one step: the effect is there exactly once, or not at all and the message comes again. Nothing happens when the message belongs
   * to another consumer by now.
   *
   * Everything is in the database of the streams' connection; on a Cluster all keys need the stream's hash tag, {@link hashTag}. Keys are taken as they are written. As in MULTI a command that fails (a key of another
   * type) does not undo those before it; then the message is not acknowledged.
   *
   * @throws EntryLostError · AlreadyCommittedError for a second one, which could not be acknowledged with its message · OptionsError for a key of another slot · RedisCommandError · RedisUnavailableError
   * @example  await ctx.commit((multi) => multi.hincrby('stock', order.sku, -1).sadd('sold', order.id));
   * @see      one EVALSHA
   */
  readonly commit: (effects: Effects) => Promise<void>;
  /** The hash tag of the stream, `{orders}`, or `{orders/3}` of a partition: a key with it is in the stream's slot. */
  readonly hashTag: string;
}
