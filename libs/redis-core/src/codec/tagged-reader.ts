import { CorruptValueError } from '../redis.errors.js';
import { binaryOfType } from './tags.js';

/** Turns the content of one tag into its value, or gives `undefined` when it isn't what that tag holds. */
type TagReader = (content: unknown, depthLeft: number) => { readonly value: unknown } | undefined;

const numbers = new Map<unknown, number>([
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
  ['-0', -0],
]);

const readers = new Map<string, TagReader>([
  ['undefined', () => ({ value: undefined })],
  ['number', (content) => (numbers.has(content) ? { value: numbers.get(content) } : undefined)],
  [
    'bigint',
    (content) => (typeof content === 'string' && /^-?\d+$/.test(content) ? { value: BigInt(content) } : undefined),
  ],
  ['date', (content) => (content === null || isDateTime(content) ? { value: new Date(content ?? NaN) } : undefined)],
  [
    'set',
    (content, depthLeft) => (Array.isArray(content) ? { value: new Set(readItems(content, depthLeft)) } : undefined),
  ],
  [
    'map',
    (content, depthLeft) => (isEntries(content) ? { value: new Map(readEntries(content, depthLeft)) } : undefined),
  ],
]);

/**
 * Gives the parsed JSON of `writeTagged` its types back, in place.
 *
 * @throws CorruptValueError for an unknown or malformed tag, a `__proto__` key, or more than `depthLeft` levels
 */
export function readTagged(node: unknown, depthLeft: number): unknown {
  if (typeof node !== 'object' || node === null) return node;
  if (Array.isArray(node)) return readItems(node, depthLeft);
  return readObject(node, depthLeft);
}

function readObject(node: object, depthLeft: number): unknown {
  const keys = Object.keys(node);
  const [first] = keys;
  if (keys.length === 1 && first?.startsWith('$')) {
    const content: unknown = Reflect.get(node, first);
    if (!first.startsWith('$$')) return readTag(first.slice(1), content, depthLeft);
    return { [first.slice(1)]: readTagged(content, inside(depthLeft)) };
  }
  const insideDepth = inside(depthLeft);
  for (const key of keys) {
    if (key === '__proto__') throw corrupt();
    Reflect.set(node, key, readTagged(Reflect.get(node, key), insideDepth));
  }
  return node;
}

function readTag(name: string, content: unknown, depthLeft: number): unknown {
  const read = readers.get(name);
  const result = read ? read(content, depthLeft) : readBinary(name, content);
  if (!result) throw corrupt();
  return result.value;
}

function readBinary(name: string, content: unknown): { readonly value: unknown } | undefined {
  if (typeof content !== 'string') return undefined;
  const bytes = Buffer.from(content, 'base64');
  if (bytes.toString('base64') !== content) return undefined;
  const value = binaryOfType(name, bytes);
  return value && { value };
}

function readItems(items: readonly unknown[], depthLeft: number): unknown[] {
  const insideDepth = inside(depthLeft);
  return items.map((item) => readTagged(item, insideDepth));
}

function readEntries(entries: readonly (readonly [unknown, unknown])[], depthLeft: number): [unknown, unknown][] {
  const insideDepth = inside(depthLeft);
  return entries.map(([key, value]) => [readTagged(key, insideDepth), readTagged(value, insideDepth)]);
}

/** 8.64e15 ms either way is as far as a Date reaches. */
function isDateTime(content: unknown): content is number {
  return typeof content === 'number' && Number.isInteger(content) && Math.abs(content) <= 8.64e15;
}

function isEntries(content: unknown): content is readonly (readonly [unknown, unknown])[] {
  return Array.isArray(content) && content.every((entry) => Array.isArray(entry) && entry.length === 2);
}

function inside(depthLeft: number): number {
  if (depthLeft === 0) throw new CorruptValueError('A stored value is nested deeper than maxDepth allows.');
  return depthLeft - 1;
}

function corrupt(): CorruptValueError {
  return new CorruptValueError('A stored value holds a tag that this version does not write.');
}
