import { types } from 'node:util';
import { UnsupportedValueError } from '../redis.errors.js';
import { type CodecLimits, tooLarge } from './limits.js';
import { binaryTypeOf, taggedMarker } from './tags.js';
import { type PathStep, pathText } from './value-path.js';

/** What `JSON.stringify` gets to see. */
type JsonNode = string | number | boolean | null | readonly JsonNode[] | { readonly [key: string]: JsonNode };

/**
 * The thorough way to write a value: names what has to be refused, and writes tags where JSON is not enough.
 *
 * A tag is an object with one key that starts with `$`: `{"$date":0}`, `{"$map":[[1,2]]}`, `{"$Uint8Array":"AA=="}`. An object of the user that looks
 * like one gets a second `$`, which reading takes away again. Without any tag the result is ordinary JSON.
 */
export function writeTagged(value: unknown, limits: CodecLimits): string {
  const writer = new TaggedWriter(limits, true);
  const tagged = writer.write(value, '', true);
  if (writer.special) return String.fromCharCode(taggedMarker) + JSON.stringify(tagged);
  return JSON.stringify(writer.escaped ? new TaggedWriter(limits, false).write(value, '', true) : tagged);
}

class TaggedWriter {
  /** A tag was written, so the text needs the marker. */
  special = false;
  /** A key of the user got its second `$`, which must not appear in ordinary JSON. */
  escaped = false;

  readonly #limits: CodecLimits;
  readonly #escapes: boolean;
  /** Where the walk stands. When something is refused it stays there, for the message. */
  readonly #path: PathStep[] = [];
  /** The containers around the current value, to tell a cycle from a deep value. */
  readonly #around = new Set<object>();
  /** Keeps a value whose parts refer to each other over and over from being written out for ever. */
  #nodesLeft: number;

  constructor(limits: CodecLimits, escapes: boolean) {
    this.#limits = limits;
    this.#escapes = escapes;
    this.#nodesLeft = limits.maxBytes / 2 + 1; // a part takes two bytes at least, with its comma
  }

  write(value: unknown, key: string, toJson: boolean): JsonNode {
    if (--this.#nodesLeft < 0) throw new UnsupportedValueError(tooLarge(this.#limits.maxBytes));
    switch (typeof value) {
      case 'string':
      case 'boolean':
        return value;
      case 'number':
        return Number.isFinite(value) && !Object.is(value, -0)
          ? value
          : this.#tag('number', Object.is(value, -0) ? '-0' : `${value}`);
      case 'bigint':
        return this.#tag('bigint', value.toString());
      case 'undefined':
        return this.#tag('undefined', 0);
      case 'object':
        return value === null ? null : this.#object(value, key, toJson);
      default:
        return this.#refuse(typeof value);
    }
  }

  #object(value: object, key: string, toJson: boolean): JsonNode {
    if (types.isDate(value)) {
      const ms = Date.prototype.getTime.call(value);
      return this.#tag('date', Number.isNaN(ms) ? null : ms);
    }
    const binary = binaryTypeOf(value);
    if (binary) return this.#tag(binary.name, binary.bytes.toString('base64'));
    if (types.isMap(value))
      return this.#tag(
        'map',
        this.#inside(value, () => this.#entries(value)),
      );
    if (types.isSet(value))
      return this.#tag(
        'set',
        this.#inside(value, () => this.#items([...value])),
      );
    if (toJson && 'toJSON' in value && typeof value.toJSON === 'function') {
      const replacement: unknown = Reflect.apply(value.toJSON, value, [key]);
      return this.write(replacement, key, false);
    }
    if (types.isBoxedPrimitive(value)) return this.write(value.valueOf(), key, false);
    const unfit = unfitKind(value);
    if (unfit) return this.#refuse(unfit);
    return this.#inside(value, () => (Array.isArray(value) ? this.#items(value) : this.#fields(value)));
  }

  /** Writes the content of a container, if it isn't one of those around it and not too deep. */
  #inside<T>(container: object, write: () => T): T {
    if (this.#around.has(container)) {
      throw new UnsupportedValueError(`${pathText(this.#path)} contains itself (a cycle), so it can't be stored.`);
    }
    if (this.#around.size === this.#limits.maxDepth) {
      throw new UnsupportedValueError(
        `${pathText(this.#path)} is nested deeper than ${this.#limits.maxDepth} levels (maxDepth), so it can't be stored.`,
      );
    }
    this.#around.add(container);
    const written = write();
    this.#around.delete(container);
    return written;
  }

  #items(items: readonly unknown[]): JsonNode[] {
    if (items.length > this.#nodesLeft) throw new UnsupportedValueError(tooLarge(this.#limits.maxBytes));
    const written: JsonNode[] = [];
    // Not map(), which would skip the holes.
    for (let i = 0; i < items.length; i++) written.push(this.#step(i, items[i]));
    return written;
  }

  #entries(map: ReadonlyMap<unknown, unknown>): JsonNode[] {
    return Array.from(map, ([key, value], index) => [
      this.#step(['key', index], key),
      this.#step(['value', index], value),
    ]);
  }

  #fields(value: object): JsonNode {
    const keys = Object.keys(value);
    const fields: Record<string, JsonNode> = {};
    for (const key of keys) {
      if (key === '__proto__') this.#refuseProto();
      const name = this.#escapes && keys.length === 1 && key.startsWith('$') ? this.#escape(key) : key;
      fields[name] = this.#step(key, Reflect.get(value, key));
    }
    return fields;
  }

  #step(step: PathStep, value: unknown): JsonNode {
    this.#path.push(step);
    const written = this.write(value, typeof step === 'object' ? '' : `${step}`, true);
    this.#path.pop();
    return written;
  }

  #escape(key: string): string {
    this.escaped = true;
    return `$${key}`;
  }

  #tag(name: string, content: JsonNode): JsonNode {
    this.special = true;
    return { [`$${name}`]: content };
  }

  #refuseProto(): never {
    throw new UnsupportedValueError(
      `${pathText([...this.#path, '__proto__'])} can't be stored: a "__proto__" key would become a prototype in careless hands. Rename it, or use a Map.`,
    );
  }

  #refuse(kind: string): never {
    throw new UnsupportedValueError(
      `${pathText(this.#path)} is a ${kind} and can't be stored. Store plain data instead.`,
    );
  }
}

/** Objects that `JSON.stringify` would silently turn into `{}`. */
function unfitKind(value: object): string | undefined {
  if (types.isPromise(value)) return 'promise (is an await missing?)';
  if (types.isNativeError(value)) return 'native error';
  if (types.isRegExp(value)) return 'regular expression';
  if (types.isWeakMap(value) || types.isWeakSet(value)) return 'weak collection';
  if (Symbol.asyncIterator in value) return 'stream or asynchronous iterator';
  if (Symbol.iterator in value && 'next' in value) return 'generator or iterator';
  if (ArrayBuffer.isView(value)) return 'typed array of an unknown type';
  if (types.isSharedArrayBuffer(value)) return 'shared buffer';
  return undefined;
}
