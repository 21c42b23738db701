import type { Codec } from '@redstart/redis-core';
import { UndecodableEntryError } from '../streams.errors.js';

export type MessageHeaders = Readonly<Record<string, string>>;

/** A message as it travels. */
export interface Envelope {
  readonly type: string;
  readonly payload: unknown;
  /** The publisher's own id; empty when it gave none. */
  readonly messageId: string;
  /** What the message is about; empty when the publisher gave none. */
  readonly key: string;
  readonly headers: MessageHeaders;
}

/** One entry as Redis returns it: `null` fields when it was deleted while pending. */
export interface RawEntry {
  readonly id: string;
  readonly fields: readonly Buffer[];
}

/**
 * The fields of an entry, always these five in this order: Redis stores the names once per node of the stream then.
 * `t` type, `d` payload, `i` message id, `k` key, `h` headers as JSON; empty where there is none.
 */
export function encodeEnvelope(
  { type, payload, messageId, key, headers }: Envelope,
  codec: Codec,
): (string | Buffer)[] {
  const hasHeaders = Object.keys(headers).length > 0;
  return [
    't',
    type,
    'd',
    codec.encode(payload),
    'i',
    messageId,
    'k',
    key,
    'h',
    hasHeaders ? JSON.stringify(headers) : '',
  ];
}

/** @throws UndecodableEntryError when this is no entry of a producer of ours */
export function decodeEnvelope({ id, fields }: RawEntry, codec: Codec): Envelope {
  const field = new Map<string, Buffer>();
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name, value] = [fields[at], fields[at + 1]];
    if (name !== undefined && value !== undefined) field.set(name.toString(), value);
  }
  const type = field.get('t')?.toString();
  const payload = field.get('d');
  if (type === undefined || payload === undefined) {
    throw new UndecodableEntryError(id, 'it has no type or no payload, so it was not published by redis-streams.');
  }
  return {
    type,
    payload: readable(id, 'payload', () => codec.decode(payload)),
    messageId: field.get('i')?.toString() ?? '',
    key: field.get('k')?.toString() ?? '',
    headers: readable(id, 'headers', () => readHeaders(field.get('h')?.toString() ?? '')),
  };
}

function readHeaders(text: string): MessageHeaders {
  if (text === '') return Object.freeze({});
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null) throw new TypeError('no object');
  return Object.freeze(Object.fromEntries(Object.entries(parsed).map(([name, value]) => [name, String(value)])));
}

function readable<T>(id: string, part: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new UndecodableEntryError(id, `its ${part} is damaged or foreign.`, { cause });
  }
}

/** The entries of a reply of XREADGROUP (one stream), XRANGE, XCLAIM or XAUTOCLAIM. Entries that are gone have no fields, and are left out. */
export function parseEntries(reply: unknown): RawEntry[] {
  if (!Array.isArray(reply)) return [];
  return reply.flatMap((entry: unknown) => {
    if (!Array.isArray(entry)) return [];
    const [id, fields] = entry as unknown[];
    if (!Array.isArray(fields)) return [];
    return [{ id: text(id), fields: fields.map(bytes) }];
  });
}

/** Text of a reply, which arrives as a Buffer or, from RESP3's simple strings and numbers, as such. */
export function text(value: unknown): string {
  if (Buffer.isBuffer(value)) return value.toString();
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function bytes(value: unknown): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(text(value));
}
