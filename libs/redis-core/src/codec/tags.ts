import { types } from 'node:util';

/** First byte of a value that holds more than JSON can say: SOH, with which no JSON text starts. What follows is JSON with tags. */
export const taggedMarker = 0x01;

/** A binary value and the name of its type, which is its tag. */
interface Binary {
  readonly name: string;
  readonly bytes: Buffer;
}

/** The binary types that come back as they were. Typed arrays keep the byte order of the machine: little-endian wherever Node runs, s390x aside. */
const views = {
  Uint8Array,
  Uint8ClampedArray,
  Uint16Array,
  Uint32Array,
  Int8Array,
  Int16Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
} as const;

/** What kind of binary value this is, or `undefined` for any other. */
export function binaryTypeOf(value: object): Binary | undefined {
  if (types.isArrayBuffer(value)) return { name: 'ArrayBuffer', bytes: Buffer.from(value) };
  if (!ArrayBuffer.isView(value)) return undefined;
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Buffer.isBuffer(value)) return { name: 'Buffer', bytes };
  const name = Object.prototype.toString.call(value).slice('[object '.length, -1);
  return name === 'DataView' || isViewName(name) ? { name, bytes } : undefined;
}

/** Builds a binary value of its own memory, or `undefined` when the name is none or the length doesn't fit. */
export function binaryOfType(name: string, bytes: Buffer): object | undefined {
  if (name === 'Buffer') return bytes;
  // Copied, because a Buffer may lie anywhere in a shared pool, unaligned.
  const memory = new Uint8Array(bytes).buffer;
  if (name === 'ArrayBuffer') return memory;
  if (name === 'DataView') return new DataView(memory);
  if (!isViewName(name)) return undefined;
  const View = views[name];
  return memory.byteLength % View.BYTES_PER_ELEMENT === 0 ? new View(memory) : undefined;
}

function isViewName(name: string): name is keyof typeof views {
  return Object.hasOwn(views, name);
}
