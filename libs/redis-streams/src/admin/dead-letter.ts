import type { DeadLetterReason } from '../consumer/dead-letter.js';
import { decodeEnvelope, type Envelope, type MessageHeaders, type RawEntry } from '../message/envelope.js';
import type { PayloadCodec } from '../message/payload-codec.js';
import { timeOf } from './entry-id.js';

/** An entry that a group gave up on, and why. */
export interface DeadLetter {
  /** Its id among the dead letters of its group; of a partitioned stream with the partition in front, `3/1700000000000-0`. */
  readonly id: string;
  /** The id under which the entry was published. */
  readonly entryId: string;
  readonly reason: DeadLetterReason;
  /** The consumer that gave it up. */
  readonly consumer: string;
  /** How often its handler had failed. */
  readonly attempts: number;
  /** How often the group had been given it; more than the attempts when a process died with it. */
  readonly deliveries: number;
  /** The last error: empty texts where there was none. */
  readonly error: { readonly name: string; readonly message: string; readonly stack: string };
  /** When it was given up, by the server's clock. */
  readonly since: Date;
  /** The message; `undefined` when it can't be decoded, or had been trimmed before it was given up. */
  readonly message: Envelope | undefined;
}

/** The header that a replayed message bears: the id of the dead letter that it was. */
export const replayedFromHeader = 'x-replayed-from';

/** Reads an entry of a dead letters' stream. @param prefix that of its partition */
export async function readDeadLetter(
  { id, fields }: RawEntry,
  prefix: string,
  codec: PayloadCodec,
): Promise<DeadLetter> {
  const story = new Map<string, string>();
  let at = 0;
  for (; at + 1 < fields.length; at += 2) {
    const name = fields[at]?.toString() ?? '';
    // The entry's own fields follow.
    if (!name.startsWith('x-') || story.has(name)) break;
    story.set(name, fields[at + 1]?.toString() ?? '');
  }
  const of = (name: string) => story.get(name) ?? '';
  return Object.freeze({
    id: `${prefix}${id}`,
    entryId: of('x-id'),
    // Only our script writes them.
    reason: of('x-reason') as DeadLetterReason,
    consumer: of('x-consumer'),
    attempts: Number(of('x-attempts')),
    deliveries: Number(of('x-deliveries')),
    error: Object.freeze({ name: of('x-error'), message: of('x-message'), stack: of('x-stack') }),
    since: new Date(timeOf(id)),
    message: await decoded({ id, fields: fields.slice(at) }, codec),
  });
}

/** The headers that a letter's message is replayed with, as they are stored. */
export function replayHeaders({ id, message }: DeadLetter): string {
  const headers: MessageHeaders = { ...message?.headers, [replayedFromHeader]: id };
  return JSON.stringify(headers);
}

async function decoded(entry: RawEntry, codec: PayloadCodec): Promise<Envelope | undefined> {
  try {
    return await decodeEnvelope(entry, codec);
  } catch {
    // That it can't be read is why it is a dead letter.
    return undefined;
  }
}
