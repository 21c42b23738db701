import { types } from 'node:util';
import { InvalidKeyError } from '@redstart/redis-core';

const deepest = 32;
const largest = 64 * 1024;

/**
 * The arguments of a call as a text that no other arguments have: `1`, `'1'`, `[1]`, `1n`, `null`, `undefined`, `-0` and `[]` all differ.
 *
 * Takes plain data: primitives, arrays, plain objects (in any order of their fields), `Date`, `Map`, `Set`, and binary data. Everything else is
 * refused, because two different things could look alike: functions, symbols, streams, requests, instances of classes.
 *
 * @param method for the message: `FlightService.search`
 * @throws InvalidKeyError that names the argument, never its value
 */
export function argumentsKey(method: string, args: readonly unknown[]): string {
  const texts = args.map((argument, index) => new ArgumentWriter(method, index).write(argument, 0));
  return `[${texts.join()}]`;
}

class ArgumentWriter {
  #left = largest;

  constructor(
    private readonly method: string,
    private readonly index: number,
  ) {}

  write(value: unknown, depth: number): string {
    if (--this.#left < 0) return this.#refuse('too large');
    switch (typeof value) {
      case 'string':
        this.#left -= value.length;
        return this.#left < 0 ? this.#refuse('too large') : JSON.stringify(value);
      case 'number':
        return Object.is(value, -0) ? '-0' : `${value}`;
      case 'bigint':
        return `${value}n`;
      case 'boolean':
        return `${value}`;
      case 'undefined':
        return 'undefined';
      case 'object':
        return value === null ? 'null' : this.#object(value, depth + 1);
      default:
        return this.#refuse(`a ${typeof value}`);
    }
  }

  #object(value: object, depth: number): string {
    if (depth > deepest) return this.#refuse('nested too deeply, or contains itself');
    if (Object.getOwnPropertySymbols(value).length > 0) return this.#refuse('an object with symbols for keys');
    if (types.isTypedArray(value)) return this.#binary(value);
    if (Array.isArray(value)) return this.#builtIn(value, () => this.#items(value, depth));
    if (types.isDate(value)) return this.#builtIn(value, () => `Date(${value.getTime()})`);
    if (types.isMap(value)) {
      return this.#builtIn(value, () => `Map${this.#items([...value].flat(1), depth)}`);
    }
    if (types.isSet(value)) return this.#builtIn(value, () => `Set${this.#items([...value], depth)}`);
    if (!isPlainObject(value)) return this.#refuse('an instance of a class');
    const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return `{${fields.map(([key, field]) => `${this.write(key, depth)}:${this.write(field, depth)}`).join()}}`;
  }

  /** Neither a subclass, which may have a state that can't be seen, nor with properties of its own. */
  #builtIn(value: object, write: () => string): string {
    const prototype: unknown = Object.getPrototypeOf(value);
    const ordinary = typeof prototype === 'object' && prototype !== null && isRoot(Object.getPrototypeOf(prototype));
    const plain = Object.keys(value).every((key) => Array.isArray(value) && /^\d+$/.test(key));
    return ordinary && plain ? write() : this.#refuse('an instance of a class');
  }

  #items(items: readonly unknown[], depth: number): string {
    if (items.length > this.#left) return this.#refuse('too large');
    return `[${Array.from(items, (item, at) => (at in items ? this.write(item, depth) : 'empty')).join()}]`;
  }

  #binary(value: NodeJS.TypedArray): string {
    this.#left -= value.byteLength;
    if (this.#left < 0) return this.#refuse('too large');
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return `${value[Symbol.toStringTag]}(${bytes.toString('base64')})`;
  }

  #refuse(what: string): never {
    throw new InvalidKeyError(
      `Argument ${this.index} of ${this.method} is or holds ${what}, so @Cacheable can't build a key from it. ` +
        'Give @Cacheable a key function that takes what tells the calls apart.',
    );
  }
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || isRoot(prototype);
}

/** `Object.prototype`, of whatever realm: a test runner has several. */
function isRoot(prototype: unknown): boolean {
  return (
    typeof prototype === 'object' &&
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'hasOwnProperty')
  );
}
