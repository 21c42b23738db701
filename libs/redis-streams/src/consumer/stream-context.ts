import type { MessageHeaders } from '../message/envelope.js';

/** What a handler learns of its message beside the payload. */
export interface StreamContext {
  /** The entry's id in the stream, `<ms>-<n>`. */
  readonly id: string;
  /** The publisher's `messageId`, or the entry's id when it gave none. The same at every delivery: what to make effects idempotent by. */
  readonly messageId: string;
  readonly stream: string;
  readonly group: string;
  readonly type: string;
  /** The publisher's `key`; empty when it gave none. */
  readonly key: string;
  /** Which run this is, 1 for the first. In this version the same as {@link deliveries}. */
  readonly attempt: number;
  /** How often the group has been given the entry, this time included; also counts deliveries whose consumer died. */
  readonly deliveries: number;
  readonly headers: MessageHeaders;
  /** When the entry was added, by the server's clock. */
  readonly publishedAt: Date;
  /**
   * Aborts when the entry does not belong to this consumer any more (another one has taken it over, or the stream is gone), and when the time to
   * finish at shutdown is over. What the handler does after that may be done a second time.
   */
  readonly signal: AbortSignal;
}
