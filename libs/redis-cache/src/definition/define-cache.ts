import type { StandardSchemaV1 } from '@standard-schema/spec';
import { checkBoolean, checkFunction, checkKnownKeys, checkText, OptionsError, type Key } from '@redstart/redis-core';
import type { GetOrSetOptions } from '../calls/call.options.js';
import { checkSchema } from '../calls/check-options.js';
import { checkVersion, type CacheVersion } from '../keys.js';
import { resolveLoad } from '../load/load.options.js';

/** What {@link defineCache} says of a cache; all but `key` as `getOrSet` takes it. */
export interface CacheDefinitionOptions<Id, Value> extends Omit<
  GetOrSetOptions<Value>,
  'signal' | 'condition' | 'schema'
> {
  /** Where a value is, built from what identifies it. Write the type of its parameter: it is what every call takes. */
  key: (id: Id) => Key;
  /** Checks what is read from the cache; what it refuses is a miss. It should make of a value what it was: what is loaded does not go through it. */
  schema?: StandardSchemaV1<unknown, Value>;
  /** The cache that holds it: the name of a `RedisCacheModule.forRoot`. @default 'default' */
  cache?: string;
  /**
   * Raise it when the values have another shape, or `key` makes another key of an id. Values of other versions are not seen any more; tags and `clear` reach those of all.
   *
   * @default none
   */
  version?: CacheVersion;
}

/** A cache of one kind of values, described once: a constant that modules bind and services inject. Made by {@link defineCache}. */
export interface CacheDefinition<Id, Value> {
  readonly name: string;
  /** The name of the cache that holds it. */
  readonly cache: string;
  readonly key: (id: Id) => Key;
  readonly version: CacheVersion | undefined;
  readonly options: Omit<CacheDefinitionOptions<Id, Value>, 'key' | 'cache' | 'version'>;
  /** The injection token of what {@link CacheDefinition} describes; each definition has its own. */
  readonly token: symbol;
}

/** Any definition, for those who only want to know which. */
export type SomeCacheDefinition = Pick<CacheDefinition<unknown, unknown>, 'name' | 'cache' | 'token'>;

const loadOptions = [
  'ttl',
  'nullTtl',
  'staleWhileRevalidate',
  'staleIfError',
  'refreshAhead',
  'errorBackoff',
  'errorTtl',
  'softTimeout',
  'hardTimeout',
  'waitTimeout',
] as const;
const known = ['key', 'cache', 'version', 'tags', 'schema', 'sliding', 'unless', ...loadOptions];

/**
 * Describes the cache of one kind of values once: their keys, how long they live, what they hang on. Sends nothing.
 *
 * `RedisCacheModule.forFeature` binds it to what loads and writes them, `@InjectCache` injects it as a {@link DefinedCache}.
 *
 * @param name a namespace of the cache: `<namespace>:cache:flights:{…}`
 * @typeParam Value what is cached; told by `schema`, or by hand: `defineCache<string, Flight>`
 * @throws OptionsError for a wrong name or option
 * @example
 * export const flights = defineCache('flights', {
 *   key: (id: string) => id,
 *   ttl: '1m',
 *   tags: (flight: Flight) => [['airline', flight.airline]],
 * });
 */
export function defineCache<Id, Value = unknown>(
  name: string,
  options: CacheDefinitionOptions<Id, Value>,
): CacheDefinition<Id, Value> {
  const where = `defineCache('${checkText(name, 'defineCache(name)')}')`;
  if (name.split(':').includes('')) {
    throw new OptionsError(where, "has an empty part; expected a name such as 'flights' or 'flights:seats'.");
  }
  checkKnownKeys(options, known, where);
  const { key, cache = 'default', version, ...rest } = options;
  checkFunction(key, `${where}.key`);
  checkText(cache, `${where}.cache`);
  if (version !== undefined) checkVersion(version, `${where}.version`);
  if (rest.unless !== undefined) checkFunction(rest.unless, `${where}.unless`);
  if (rest.sliding !== undefined) checkBoolean(rest.sliding, `${where}.sliding`);
  checkSchema(rest.schema, `${where}.schema`);
  if (rest.tags !== undefined && typeof rest.tags !== 'function' && !Array.isArray(rest.tags)) {
    throw new OptionsError(`${where}.tags`, 'expected an array of tags, or a function of the value that returns one.');
  }
  // What the module allows at most is checked by the calls.
  resolveLoad(rest, Number.MAX_SAFE_INTEGER, (option) => `${where}.${option}`);
  const place = cache === 'default' ? '' : ` of the cache "${cache}"`;
  return Object.freeze({
    name,
    cache,
    key,
    version,
    options: Object.freeze(rest),
    token: Symbol(
      `DefinedCache "${name}"${place} (import RedisCacheModule.forFeature([{ cache: ${name}, useFactory: … }]))`,
    ),
  });
}
