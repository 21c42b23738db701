import { promisify } from 'node:util';
import { deflate, inflate, type InputType, type ZlibOptions } from 'node:zlib';
import { CorruptValueError } from '../redis.errors.js';
import { wholeNumber } from './limits.js';

/** Makes large values smaller on their way to Redis, and unpacks them again. Small ones pass synchronously, without a copy. */
export interface Compression {
  /** @returns the packed bytes, or the same bytes where packing would not make them smaller */
  pack(bytes: Buffer): Buffer | Promise<Buffer>;
  /** @throws CorruptValueError (as a rejection) when packed bytes are damaged, or larger than `maxOutputBytes` once unpacked */
  unpack(bytes: Buffer): Buffer | Promise<Buffer>;
  /** How many bytes `unpack` would give, by what the packed ones say of themselves. */
  unpackedBytes(bytes: Buffer): number;
}

export interface CompressionOptions {
  /** Values of at least so many bytes are packed. @default 1024 */
  readonly threshold?: number;
  /** Largest value that is unpacked, in bytes. @default 524288 (512 KB) */
  readonly maxOutputBytes?: number;
}

/** First byte of everything packed. It occurs neither in UTF-8 nor in MessagePack, so no JSON and no common codec starts with it. */
const packedMarker = 0xc1;
/** What follows the marker: how the rest is packed, and its length once unpacked. */
const method = { stored: 0, deflate: 1 } as const;
const headerBytes = 6;

/** A twentieth smaller than level 1 for about the same time; level 6 takes twice as long for the next tenth. */
const level = 3;

const deflateAsync = promisify<InputType, ZlibOptions, Buffer>(deflate);
const inflateAsync = promisify<InputType, ZlibOptions, Buffer>(inflate);

/**
 * Packs with zlib's deflate, whose checksum tells damaged values, on Node's thread pool.
 *
 * Packed bytes are: the marker 0xC1, the method (one byte), the unpacked length (32 bits, big-endian), the content. Inflation stops at that length and
 * is never started beyond `maxOutputBytes`, so a bomb costs no memory.
 *
 * @throws OptionsError when an option is no whole number in range
 * @example
 * const compression = createCompression({ threshold: 2_048 });
 * const value = codec.decode(await compression.unpack(await compression.pack(codec.encode(report))));
 */
export function createCompression(options: CompressionOptions = {}): Compression {
  const threshold = wholeNumber(options.threshold ?? 1024, 'threshold', { min: 0 });
  const maxOutputBytes = wholeNumber(options.maxOutputBytes ?? 512 * 1024, 'maxOutputBytes', { min: 1 });

  async function deflated(bytes: Buffer): Promise<Buffer> {
    const content = await deflateAsync(bytes, { level });
    return content.length + headerBytes < bytes.length ? frame(method.deflate, bytes.length, content) : unpacked(bytes);
  }

  async function inflated(content: Buffer, length: number): Promise<Buffer> {
    const bytes = await inflateAsync(content, { maxOutputLength: length }).catch((error: unknown) => {
      throw new CorruptValueError('A packed value is damaged, or longer than it says.', { cause: error });
    });
    if (bytes.length !== length) throw new CorruptValueError('A packed value is shorter than it says.');
    return bytes;
  }

  return Object.freeze({
    pack: (bytes: Buffer) => (bytes.length < Math.max(threshold, 1) ? unpacked(bytes) : deflated(bytes)),

    unpackedBytes: (bytes: Buffer) =>
      bytes[0] === packedMarker && bytes.length >= headerBytes ? bytes.readUInt32BE(2) : bytes.length,

    unpack(bytes: Buffer) {
      if (bytes[0] !== packedMarker) return bytes;
      if (bytes.length < headerBytes) return Promise.reject(new CorruptValueError('A packed value is cut off.'));
      const length = bytes.readUInt32BE(2);
      const content = bytes.subarray(headerBytes);
      if (bytes[1] === method.stored && content.length === length) return content;
      if (bytes[1] !== method.deflate || length === 0) {
        return Promise.reject(
          new CorruptValueError('A packed value is damaged, or of a method that this version does not know.'),
        );
      }
      if (length > maxOutputBytes) {
        return Promise.reject(
          new CorruptValueError(
            `A packed value says that it takes ${length} bytes; maxOutputBytes allows ${maxOutputBytes}.`,
          ),
        );
      }
      return inflated(content, length);
    },
  });
}

/** Bytes that stay as they are. Only a foreign codec may start with our marker; its bytes get a frame, so that reading can't mistake them. */
function unpacked(bytes: Buffer): Buffer {
  return bytes[0] === packedMarker ? frame(method.stored, bytes.length, bytes) : bytes;
}

function frame(how: number, length: number, content: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(headerBytes + content.length);
  framed[0] = packedMarker;
  framed[1] = how;
  framed.writeUInt32BE(length, 2);
  content.copy(framed, headerBytes);
  return framed;
}
