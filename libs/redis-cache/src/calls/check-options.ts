import { checkBoolean, checkFunction, checkKnownKeys, OptionsError, type Key } from '@redstart/redis-core';
import { loadDefaults } from '../load/load.options.js';

/**
 * What describes a value. Every call takes all of it, so that one constant may be given to all calls for a key.
 *
 * What is unknown is refused above all: a `tag` that is meant as `tags` would leave a value that no invalidation reaches. A hit is not asked, since whoever reads what nobody has
 * loaded or stored finds a miss first.
 */
const describing = [...Object.keys(loadDefaults), 'sliding', 'tags', 'schema'];
const loading = [...describing, 'unless', 'condition', 'signal'];

/** Of any read, before it is known whether there is a hit: `null` is no `undefined`. @throws OptionsError */
export function checkGiven(options: unknown, call: string): void {
  if (options === null) checkKnownKeys(options, [], call);
}

/** Of a read without a loader; its tags and its schema are looked at when they are read. @throws OptionsError */
export function checkReading(options: object, call: string): void {
  checkKnownKeys(options, describing, call);
}

/** Of a write; how long the value lives is looked at when that is reckoned. @throws OptionsError */
export function checkStoring(options: { readonly sliding?: boolean }, call: string, further?: string): void {
  checkKnownKeys(options, further === undefined ? describing : [...describing, further], call);
  if (options.sliding !== undefined) checkBoolean(options.sliding, `${call}.sliding`);
}

/** Of a read with a loader, which is checked as well; durations are looked at when they are resolved. @throws OptionsError */
export function checkLoading(
  options: {
    readonly sliding?: boolean;
    readonly unless?: unknown;
    readonly condition?: unknown;
    readonly signal?: unknown;
  },
  loader: unknown,
  call: string,
): void {
  checkFunction(loader, `${call}(loader)`);
  checkKnownKeys(options, loading, call);
  const { sliding, unless, condition, signal } = options;
  if (sliding !== undefined) checkBoolean(sliding, `${call}.sliding`);
  if (unless !== undefined) checkFunction(unless, `${call}.unless`);
  if (condition !== undefined && typeof condition !== 'function') checkBoolean(condition, `${call}.condition`);
  checkSignal(signal, `${call}.signal`);
}

/** @throws OptionsError */
export function checkSignal(signal: unknown, option: string): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new OptionsError(option, `got a value of type ${typeof signal}; expected an AbortSignal.`);
}

/** @throws OptionsError */
export function checkSchema(schema: unknown, option = 'schema'): void {
  if (schema === undefined || typeof partOf(partOf(schema, '~standard'), 'validate') === 'function') return;
  throw new OptionsError(
    option,
    `got a value of type ${typeof schema} without ['~standard'].validate; expected a Standard Schema, such as one of zod, valibot or arktype.`,
  );
}

/** Schemas may be functions as well. */
function partOf(whole: unknown, name: PropertyKey): unknown {
  const has = (typeof whole === 'object' && whole !== null) || typeof whole === 'function';
  return has ? Reflect.get(whole, name) : undefined;
}

/** Tags may also be a function of the loaded value, which names them later. */
export function areKeys(keys: unknown): keys is readonly Key[] {
  return Array.isArray(keys);
}

/** @throws OptionsError for what is no array, such as one key */
export function checkKeys<K extends Key>(keys: readonly K[], call: string): readonly K[] {
  if (areKeys(keys)) return keys;
  throw new OptionsError(`${call}(keys)`, `got a value of type ${typeof keys}; expected an array of keys.`);
}

/** @throws OptionsError for what can't be gone through entry by entry */
export function checkEntries<Entry>(entries: Iterable<Entry>): Iterable<Entry> {
  if (typeof entries === 'object' && typeof partOf(entries, Symbol.iterator) === 'function') return entries;
  throw new OptionsError(
    'setMany(entries)',
    `got a value of type ${typeof entries}; expected an array or a Map of keys and values, such as [['a', 1]].`,
  );
}
