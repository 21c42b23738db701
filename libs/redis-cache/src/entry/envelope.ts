import { CorruptValueError } from '@redstart/redis-core';
import type { Version } from '../tags/version.js';

/**
 * What Redis holds under a key:
 *
 * ```
 * byte 0       format: 0xFA is version 2. 0xF8 to 0xFF start no UTF-8 text, so nothing written by hand looks like an entry.
 * byte 1       how many versions of namespaces follow
 * byte 2       how many tags follow them
 * byte 3       1 when it has been marked stale, otherwise 0
 * bytes 4-9    when the load began, or the value was set: milliseconds by the server's clock, big-endian
 * bytes 10-15  until when it is fresh, likewise
 * bytes 16-21  when the entry ends, likewise: later than that when it may be served stale
 * bytes 22-25  how long its load took, in milliseconds
 * bytes 26-29  a sliding ttl in milliseconds, or 0
 * then         14 bytes for each namespace, the cache first: its version
 * then         for each tag 2 bytes with the length of its name, the name, and 14 bytes with its version
 * then         the payload: the codec's bytes, packed or not
 * ```
 *
 * The first 30 bytes are written by the store script, because only the server knows the time. They tell two entries of one key apart.
 */
export const currentFormat = 0xfa;
const firstFormat = 0xf8;
export const headerBytes = 30;
const versionBytes = 14;
const hardBytes = 6;

/** A tag with the version it had before the load began. */
export interface TaggedVersion {
  readonly name: string;
  readonly version: Version;
}

/** The versions that an entry hangs on. */
export interface HeldVersions {
  readonly namespaces: readonly Version[];
  readonly tags: readonly TaggedVersion[];
}

/** An entry taken out of its envelope. */
export interface Envelope extends HeldVersions {
  readonly createdAt: number;
  readonly freshUntil: number;
  readonly expiresAt: number;
  /** Somebody has said so; that its time is over is another matter. */
  readonly markedStale: boolean;
  readonly loadMs: number;
  readonly slidingMs: number;
  readonly payload: Buffer;
}

/** What {@link openEnvelope} made of some bytes: `older` ones may be replaced, `newer` ones are not ours to touch. */
export type Opened = Envelope | 'older' | 'newer';

const noTags: readonly TaggedVersion[] = Object.freeze([]);

/** @throws CorruptValueError when these bytes are no entry at all */
export function openEnvelope(bytes: Buffer): Opened {
  const [format = 0, namespaceCount = 0, tagCount = 0, marks = 0] = bytes;
  if (format < firstFormat) throw foreign();
  if (format > currentFormat) return 'newer';
  if (format < currentFormat) return 'older';
  if (bytes.length <= headerBytes + namespaceCount * versionBytes) throw foreign();
  let at = headerBytes;
  const namespaces: Version[] = [];
  for (let left = namespaceCount; left > 0; left -= 1, at += versionBytes) namespaces.push(readVersion(bytes, at));
  const tags = tagCount === 0 ? noTags : readTags(bytes, at, tagCount);
  for (const { name } of tags) at += 2 + Buffer.byteLength(name) + versionBytes;
  if (at >= bytes.length) throw foreign();
  return {
    createdAt: bytes.readUIntBE(4, 6),
    freshUntil: bytes.readUIntBE(10, 6),
    expiresAt: bytes.readUIntBE(16, 6),
    markedStale: marks !== 0,
    loadMs: bytes.readUInt32BE(22),
    slidingMs: bytes.readUInt32BE(26),
    namespaces,
    tags,
    payload: bytes.subarray(at),
  };
}

/** How many bytes {@link writeVersions} takes. */
export function versionsLength({ namespaces, tags }: HeldVersions): number {
  let length = (namespaces.length + tags.length) * versionBytes;
  for (const { name } of tags) length += 2 + Buffer.byteLength(name);
  return length;
}

/** Writes the part of an envelope between the header, which the server writes, and the payload. @returns where it ends */
export function writeVersions(bytes: Buffer, from: number, { namespaces, tags }: HeldVersions): number {
  let at = from;
  for (const version of namespaces) at = writeVersion(bytes, at, version);
  for (const { name, version } of tags) {
    const length = bytes.write(name, at + 2);
    bytes.writeUInt16BE(length, at);
    at = writeVersion(bytes, at + 2 + length, version);
  }
  return at;
}

function readTags(bytes: Buffer, from: number, count: number): TaggedVersion[] {
  const tags: TaggedVersion[] = [];
  let at = from;
  for (let left = count; left > 0; left -= 1) {
    const length = at + 2 <= bytes.length ? bytes.readUInt16BE(at) : bytes.length;
    const end = at + 2 + length;
    if (end + versionBytes > bytes.length) throw foreign();
    tags.push({ name: bytes.toString('utf8', at + 2, end), version: readVersion(bytes, end) });
    at = end + versionBytes;
  }
  return tags;
}

/** Microseconds need 51 bits: 6 bytes and one. */
function readVersion(bytes: Buffer, at: number): Version {
  return { hard: readMicros(bytes, at), soft: readMicros(bytes, at + versionBytes / 2) };
}

function readMicros(bytes: Buffer, at: number): number {
  return bytes.readUIntBE(at, hardBytes) * 256 + (bytes[at + hardBytes] ?? 0);
}

function writeVersion(bytes: Buffer, at: number, { hard, soft }: Version): number {
  return writeMicros(bytes, writeMicros(bytes, at, hard), soft);
}

function writeMicros(bytes: Buffer, at: number, micros: number): number {
  bytes.writeUIntBE(Math.floor(micros / 256), at, hardBytes);
  bytes[at + hardBytes] = micros % 256;
  return at + hardBytes + 1;
}

function foreign(): CorruptValueError {
  return new CorruptValueError('A cached entry is cut off, or was not written by this library.');
}
