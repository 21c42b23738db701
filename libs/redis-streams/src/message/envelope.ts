import { OptionsError } from '@redstart/redis-core';
import { UndecodableEntryError } from '../streams.errors.js';
import type { PayloadCodec } from './payload-codec.js';

export type MessageHeaders = Readonly<Record<string, string>>;

export const noHeaders: MessageHeaders = Object.freeze({});
const longestHeaders = 64 * 1024;

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

export type EntryField = string | Buffer;

/** Where the message id stands among the fields of an entry, if there is one. */
const messageIdAt = 5;

/**
 * The fields of an entry, in this order: `t` type, `d` payload, `i` message id, `k` key, `h` headers as JSON; empty where there is none, and the last ones left out then. Each field costs the
 * client as much as a tenth of a publication; and messages of one kind have the same ones, whose names Redis stores once per node of the stream.
 */
export function entryFields(
  { type, messageId, key, headers }: Omit<Envelope, 'payload'>,
  payload: EntryField,
): EntryField[] {
  const text = headers === noHeaders ? '' : headerText(headers);
  if (text !== '') return ['t', type, 'd', payload, 'i', messageId, 'k', key, 'h', text];
  if (key !== '') return ['t', type, 'd', payload, 'i', messageId, 'k', key];
  return messageId === '' ? ['t', type, 'd', payload] : ['t', type, 'd', payload, 'i', messageId];
}

/** The fields of an entry that has no message id yet, with one. */
export function withMessageId(fields: readonly EntryField[], messageId: string): readonly EntryField[] {
  return fields.length > messageIdAt ? fields.with(messageIdAt, messageId) : [...fields, 'i', messageId];
}

function headerText(headers: MessageHeaders): string {
  const text = JSON.stringify(headers);
  if (text === '{}') return '';
  if (text.length <= longestHeaders) return text;
  throw new OptionsError(
    'publish({ headers })',
    `take ${text.length} characters as JSON; ${longestHeaders} are allowed. What is that long belongs into the payload.`,
  );
}

/**
 * Asynchronous only for a compressed payload.
 * @throws UndecodableEntryError (a rejection, where it is asynchronous) when this is no entry of a producer of ours
 */
export function decodeEnvelope({ id, fields }: RawEntry, codec: PayloadCodec): Envelope | Promise<Envelope> {
  const { t, d, i, k, h } = partsOf(fields);
  if (t === undefined || d === undefined) {
    throw new UndecodableEntryError(id, 'it has no type or no payload, so it was not published by redis-streams.');
  }
  const type = t.toString();
  const messageId = textOf(i);
  const key = textOf(k);
  const headers =
    h === undefined || h.length === 0 ? noHeaders : readable(id, 'headers', () => readHeaders(h.toString()));
  let payload: unknown;
  try {
    payload = codec.decode(d);
  } catch (cause) {
    throw damaged(id, 'payload', cause);
  }
  if (!(payload instanceof Promise)) return { type, payload, messageId, key, headers };
  return payload.then(
    (unpacked: unknown) => ({ type, payload: unpacked, messageId, key, headers }),
    (cause: unknown) => {
      throw damaged(id, 'payload', cause);
    },
  );
}

/** The publisher's key, also of an entry that can't be decoded; empty where there is none. */
export function keyOf(fields: readonly Buffer[]): string {
  return textOf(partsOf(fields).k);
}

type Parts = Record<'t' | 'd' | 'i' | 'k' | 'h', Buffer | undefined>;

/** The names in the order that our producers write. */
const written = Buffer.from('tdikh');

function partsOf(fields: readonly Buffer[]): Parts {
  // What our producers write needs no text made of its names: this runs for every message.
  for (let at = 0; at < written.length && 2 * at < fields.length; at += 1) {
    const name = fields[2 * at];
    if (name?.length !== 1 || name[0] !== written[at]) return partsByName(fields);
  }
  return { t: fields[1], d: fields[3], i: fields[5], k: fields[7], h: fields[9] };
}

function partsByName(fields: readonly Buffer[]): Parts {
  const field = new Map<string, Buffer>();
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name, value] = [fields[at], fields[at + 1]];
    if (name !== undefined && value !== undefined) field.set(name.toString(), value);
  }
  return { t: field.get('t'), d: field.get('d'), i: field.get('i'), k: field.get('k'), h: field.get('h') };
}

function textOf(part: Buffer | undefined): string {
  return part === undefined || part.length === 0 ? '' : part.toString();
}

/** The type of an entry, without decoding it; `undefined` where it has none. */
export function typeOf({ fields }: RawEntry): string | undefined {
  for (let at = 0; at + 1 < fields.length; at += 2) {
    if (fields[at]?.toString() === 't') return fields[at + 1]?.toString();
  }
  return undefined;
}

function readHeaders(text: string): MessageHeaders {
  if (text === '') return noHeaders;
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null) throw new TypeError('no object');
  return Object.freeze(Object.fromEntries(Object.entries(parsed).map(([name, value]) => [name, String(value)])));
}

function readable<T>(id: string, part: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw damaged(id, part, cause);
  }
}

function damaged(id: string, part: string, cause: unknown): UndecodableEntryError {
  return new UndecodableEntryError(id, `its ${part} is damaged or foreign.`, { cause });
}

/** The entries of a reply of XREADGROUP (one stream), XRANGE, XCLAIM or XAUTOCLAIM. Entries that are gone have no fields, and are left out. */
export function parseEntries(reply: unknown): RawEntry[] {
  const entries: RawEntry[] = [];
  if (!Array.isArray(reply)) return entries;
  for (const entry of reply as unknown[]) {
    if (!Array.isArray(entry)) continue;
    const [id, fields] = entry as unknown[];
    if (Array.isArray(fields)) entries.push({ id: text(id), fields: fields.map(bytes) });
  }
  return entries;
}

/** Text of a reply, which arrives as a Buffer or, from RESP3's simple strings and numbers, as such. */
export function text(value: unknown): string {
  if (Buffer.isBuffer(value)) return value.toString();
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function bytes(value: unknown): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(text(value));
}
