import type { StreamDefinition } from '../definition/define-stream.js';
import type { PublishedPayload } from '../definition/event.js';
import type { MessageHeaders } from '../message/envelope.js';
import type { Publication } from '../scripts/publish.js';

type EventsOf<Stream> = Stream extends StreamDefinition<infer Events> ? Events : never;

/** A row of an outbox, as the message that it is to become. */
export type OutboxMessage<Stream = StreamDefinition> = {
  [Type in keyof EventsOf<Stream> & string]: {
    /** The id of the row: the `messageId` of the message, so that a repetition is recognised. At most 256 characters. */
    readonly id: string;
    readonly type: Type;
    readonly payload: PublishedPayload<EventsOf<Stream>[Type]>;
    /** What the message is about; see `PublishOptions`. */
    readonly key?: string | null;
    readonly headers?: MessageHeaders | null;
  };
}[keyof EventsOf<Stream> & string];

/** A message that the stream does not take, whatever happens: its event is unknown, or its payload does not fit. */
export interface RefusedMessage {
  readonly id: string;
  readonly error: Error;
}

/**
 * Where messages wait that were written in the transaction of what they tell of; an implementation for your database, bound by dependency injection.
 *
 * Several relays use one outbox at a time, one per process.
 */
export interface OutboxStore<Stream = StreamDefinition> {
  /**
   * Takes messages that are to be sent, in their order; none when there are none. Under a lock: no two callers may get the same one, until it is marked, released or its lock is over. `for update skip
   * locked` and a lease (a time until which the row is not due) do that in one statement, without a transaction that is open while Redis is asked; rows of a relay that died are due again.
   *
   * @param limit how many at most
   */
  fetchBatch(limit: number): Promise<readonly OutboxMessage<Stream>[]>;

  /**
   * These are in the stream: delete them, or mark them as sent. When it fails they are sent again, and not added again within `deduplicationWindow`.
   *
   * @param publications what `publish` returned for each; `duplicate: true` where it was there already
   */
  markSent(ids: readonly string[], publications: readonly Publication[]): Promise<void>;

  /** These were not sent, since something before them failed: others may take them at once. Without it they wait for the end of their lock. */
  release?(ids: readonly string[]): Promise<void>;

  /** These will never be taken by the stream: put them aside. Without it they are tried, and told to the log, again and again. */
  markRefused?(refused: readonly RefusedMessage[]): Promise<void>;
}
