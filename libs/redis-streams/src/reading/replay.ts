import { isOutage, type RedisCall, type Warnings } from '@redstart/redis-core';
import { pause } from '../consumer/pause.js';
import type { StreamDefinition } from '../definition/define-stream.js';
import type { HandledPayload } from '../definition/event.js';
import { partitionKeys } from '../keys.js';
import { decodeEnvelope, typeOf, type MessageHeaders, type RawEntry } from '../message/envelope.js';
import { validatePayload } from '../message/validate-payload.js';
import { StreamsError, UndecodableEntryError } from '../streams.errors.js';
import type { RedisStreams } from '../streams.service.js';
import { compareIds } from './entry-id.js';
import { PageReader } from './page-reader.js';
import type { ResolvedRead } from './read-options.js';

/** A message that was read without a group. */
export interface ReadMessage<Type extends string = string, Payload = unknown> {
  /** The entry's id in the stream, `<ms>-<n>`. Unique within a partition. */
  readonly id: string;
  readonly type: Type;
  /** What the schema of the event made of the payload, where it has one. */
  readonly payload: Payload;
  /** The publisher's `messageId`, or the entry's id when it gave none. */
  readonly messageId: string;
  /** The publisher's `key`; empty when it gave none. */
  readonly key: string;
  readonly headers: MessageHeaders;
  /** When the entry was added, by the server's clock. */
  readonly publishedAt: Date;
}

type EventsOf<Stream> = Stream extends StreamDefinition<infer Events> ? Events : never;

/** The messages of a stream, by their events. */
export type ReadMessageOf<Stream, Type extends keyof EventsOf<Stream> & string> = {
  [One in Type]: ReadMessage<One, HandledPayload<EventsOf<Stream>[One]>>;
}[Type];

/**
 * Reads a stream without a group: nothing is acknowledged, and nobody else notices.
 *
 * One {@link PageReader} per partition; the next message is the earliest of their first entries. A bounded reading knows its end before the first message. One that follows sleeps while all
 * its readers rest, also through an outage.
 */
export async function* replay(
  stream: StreamDefinition,
  streams: RedisStreams,
  read: ResolvedRead,
  warnings: Warnings,
): AsyncGenerator<ReadMessage, void, undefined> {
  const { connection, options } = streams;
  const call: RedisCall = { library: 'redis-streams', operation: 'streams.read', budgetMs: options.commandTimeoutMs };
  const readers = partitionKeys(connection.keys, stream).map(
    ({ stream: key }) => new PageReader(connection, call, key, read.from),
  );
  const { follow, signal = new AbortController().signal } = read;
  if (!follow) await Promise.all(readers.map((reader) => reader.endAtLast(read.to)));
  while (!signal.aborted) {
    const now = connection.clock.now();
    const used = readers.filter(({ first, restsUntil }) => first === undefined && restsUntil <= now);
    const loaded = await Promise.allSettled(used.map((reader) => reader.load()));
    for (const outcome of loaded) {
      if (outcome.status === 'fulfilled') continue;
      const reason: unknown = outcome.reason;
      if (!follow || !isOutage(reason)) throw reason;
      warnings.warn(
        'outage',
        `${reason instanceof Error ? reason.message : ''} (while reading "${stream.name}"; it goes on)`,
      );
    }
    const next = earliestOf(readers);
    if (next !== undefined) {
      const message = await readMessage(stream, streams, read, next.entry, warnings);
      next.reader.take();
      if (message !== undefined && !isAborted(signal)) yield message;
    } else if (follow) {
      const wakeAt = Math.min(...readers.map(({ restsUntil }) => restsUntil));
      await pause(connection.clock, wakeAt - connection.clock.now(), signal);
    } else if (readers.every(({ restsUntil }) => restsUntil === Infinity)) return;
  }
}

/** @returns `undefined` for an entry that is not asked for, or can't be read */
async function readMessage(
  stream: StreamDefinition,
  { codec }: RedisStreams,
  { types, onUnreadable }: ResolvedRead,
  entry: RawEntry,
  warnings: Warnings,
): Promise<ReadMessage | undefined> {
  if (types !== undefined && !types.has(typeOf(entry) ?? '')) return undefined;
  const { id } = entry;
  try {
    const { type, payload, messageId, key, headers } = await decodeEnvelope(entry, codec);
    if (!Object.hasOwn(stream.events, type)) {
      throw new UndecodableEntryError(id, `its event is not declared by the stream "${stream.name}".`);
    }
    return Object.freeze({
      ...{ id, type, payload: await validatePayload(stream, type, payload) },
      ...{ messageId: messageId === '' ? id : messageId, key, headers },
      publishedAt: new Date(Number(id.slice(0, id.indexOf('-')))),
    });
  } catch (error) {
    if (!(error instanceof StreamsError)) throw error;
    if (onUnreadable === undefined) warnings.warn('unreadable', `${error.message} (while reading "${stream.name}")`);
    else onUnreadable({ id, error });
    return undefined;
  }
}

function earliestOf(readers: readonly PageReader[]): { reader: PageReader; entry: RawEntry } | undefined {
  let earliest: { reader: PageReader; entry: RawEntry } | undefined;
  for (const reader of readers) {
    const entry = reader.first;
    if (entry !== undefined && (earliest === undefined || compareIds(entry.id, earliest.entry.id) < 0)) {
      earliest = { reader, entry };
    }
  }
  return earliest;
}

/** Asked anew: it may have changed while something was awaited. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
