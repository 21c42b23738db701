import { isUtf8 } from 'node:buffer';
import { CorruptValueError, UnsupportedValueError } from '../redis.errors.js';
import { tooLarge, wholeNumber } from './limits.js';
import { isPlainJson, isTrusted, mayHideProto } from './plain-json.js';
import { readTagged } from './tagged-reader.js';
import { writeTagged } from './tagged-writer.js';
import { taggedMarker } from './tags.js';

/** Turns values into the bytes that Redis stores, and back. */
export interface Codec {
  /** @throws UnsupportedValueError when the value can't come back as it is; nothing was written then */
  encode(value: unknown): Buffer;
  /** @throws CorruptValueError when these are not bytes that `encode` writes */
  decode(bytes: Buffer): unknown;
}

/** The limits of a codec; they hold for writing and for reading. */
export interface CodecOptions {
  /** How many objects, arrays, maps and sets may be nested in each other. @default 100 */
  readonly maxDepth?: number;
  /** Longest encoded value, in bytes. @default 524288 (512 KB) */
  readonly maxBytes?: number;
}

/**
 * The codec of Redstart: JSON where JSON is enough, so that any language can read it, and JSON with tags behind one marker byte where it isn't.
 *
 * These come back as they were: what JSON can say, and `Date` (also an invalid one), `Map`, `Set`, `bigint`, `Buffer`, typed arrays, `DataView`,
 * `ArrayBuffer`, `undefined` (anywhere), `NaN`, `±Infinity` and `-0`. A hole of a sparse array comes back as `undefined`. Otherwise it does what
 * `JSON.stringify` does: `toJSON` applies, a class instance becomes a plain object of its fields, symbol keys are left out, and a shared reference
 * becomes two copies.
 *
 * Refused with the path of the culprit, never its value: functions, symbols, cycles, promises, errors and regular expressions (they would
 * become `{}`), an own `__proto__` key (on reading too), and anything deeper or larger than allowed. An error that a getter or a `toJSON`
 * throws passes through.
 *
 * @example
 * const codec = createCodec();
 * codec.encode({ id: 1 }); //                     bytes of {"id":1}
 * codec.decode(codec.encode(new Map([[1, 2n]]))); // Map { 1 => 2n }
 */
export function createCodec(options: CodecOptions = {}): Codec {
  const maxDepth = wholeNumber(options.maxDepth ?? 100, 'maxDepth', { max: 1_000 });
  const maxBytes = wholeNumber(options.maxBytes ?? 512 * 1024, 'maxBytes', {});
  const limits = { maxDepth, maxBytes };

  return Object.freeze({
    encode(value: unknown): Buffer {
      const plain = isPlainJson(value, limits) ? JSON.stringify(value) : undefined;
      // Whether "__proto__" is a key or only a text, the thorough way finds out.
      const text = plain === undefined || plain.includes('__proto__') ? writeTagged(value, limits) : plain;
      const bytes = text.length > maxBytes ? undefined : Buffer.from(text);
      if (!bytes || bytes.length > maxBytes) throw new UnsupportedValueError(tooLarge(maxBytes));
      return bytes;
    },

    decode(bytes: Buffer): unknown {
      if (bytes.length > maxBytes) {
        throw new CorruptValueError(`A stored value takes ${bytes.length} bytes; maxBytes allows ${maxBytes}.`);
      }
      if (!isUtf8(bytes)) throw new CorruptValueError('A stored value is not valid UTF-8.');
      if (bytes[0] === taggedMarker) return readTagged(parse(bytes.toString('utf8', 1)), maxDepth);
      const text = bytes.toString('utf8');
      const value = parse(text);
      if (mayHideProto(text) || mayBeDeep(text, maxDepth)) assertTrusted(value, maxDepth);
      return value;
    },
  });
}

/** The parser's own message quotes the text, which may hold anything: it is not passed on. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CorruptValueError('A stored value is not complete JSON.');
  }
}

function assertTrusted(value: unknown, maxDepth: number): void {
  if (!isTrusted(value, maxDepth)) {
    throw new CorruptValueError(`A stored value is nested deeper than ${maxDepth} levels, or holds a "__proto__" key.`);
  }
}

/** Counts openers up to the limit; a text with fewer can't be too deep. */
function mayBeDeep(text: string, maxDepth: number): boolean {
  let left = maxDepth;
  for (const opener of ['{', '[']) {
    for (let at = text.indexOf(opener); at !== -1; at = text.indexOf(opener, at + 1)) {
      if (--left < 0) return true;
    }
  }
  return false;
}
