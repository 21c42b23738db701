import { CorruptValueError } from '@redstart/redis-core';

/**
 * What Redis holds under a key:
 *
 * ```
 * byte 0      format: 0xF9 is version 1. 0xF8 to 0xFF start no UTF-8 text, so nothing written by hand looks like an entry.
 * byte 1      sections that follow the header, one bit each: 1 soft expiry, 2 tag versions. Version 1 of the library writes none.
 * bytes 2-7   when the load began, or the value was set: milliseconds by the server's clock, big-endian
 * bytes 8-13  when the entry ends, likewise
 * then        the payload: the codec's bytes, packed or not
 * ```
 *
 * The header is written by the store script, because only the server knows the time.
 */
export const currentFormat = 0xf9;
const firstFormat = 0xf8;
const headerBytes = 14;

/** An entry taken out of its envelope. */
export interface Envelope {
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly payload: Buffer;
}

/**
 * @returns `undefined` for an entry of a newer version of the library: not readable here, and not ours to delete
 * @throws CorruptValueError when these bytes are no entry at all
 */
export function openEnvelope(bytes: Buffer): Envelope | undefined {
  const [format = 0, sections] = bytes;
  if (format < firstFormat || bytes.length <= headerBytes) {
    throw new CorruptValueError('A cached entry is cut off, or was not written by this library.');
  }
  if (format !== currentFormat || sections !== 0) return undefined;
  return {
    createdAt: bytes.readUIntBE(2, 6),
    expiresAt: bytes.readUIntBE(8, 6),
    payload: bytes.subarray(headerBytes),
  };
}
