import { checkKnownKeys, OptionsError, type Key, type KeyOf } from '@redstart/redis-core';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { GetOrSetOptions, ReadOptions } from '../calls/call.options.js';
import { checkSchema } from '../calls/check-options.js';
import type { LoadOptions } from '../load/load.options.js';
import type { CacheVersion } from '../keys.js';
import { checkLoadOptions, loadOptionNames } from './check-load-options.js';
import type { LoadContext } from '../load/load-context.js';
import { MethodPlaces, partOf, type MethodPlace } from './cache-config.js';
import { hasUncommittedChanges, isInTransaction } from './commit-scope.js';
import { recordKeyless } from './keyless.js';
import { bindCacheMethod, checkMethodOptions } from './cache-method.js';
import { defaultKey, keysOf, varied, type VaryBy } from './method-key.js';
import type { AnyMethodDecorator, CacheMethodDecorator } from './method-types.js';
import { refuseStream } from './streams.js';

/**
 * Options of {@link Cacheable}: those of a load, and what follows. `A`, `T`, `C`, `U` and `V` are the first arguments of the method as the functions name them, `R` what it
 * resolves with, `S` its class. Write the types of parameters; they are checked against the method.
 */
export interface CacheableOptions<
  A extends unknown[] = unknown[],
  R = unknown,
  T extends unknown[] = A,
  C extends unknown[] = A,
  U extends unknown[] = A,
  V extends unknown[] = A,
  S extends object = object,
> extends LoadOptions {
  /**
   * The key: a constant, or built from the arguments. Build keys that hold user input as arrays.
   *
   * @default the class, the method and all arguments, told apart by value and type
   */
  key?: Key | KeyOf<A>;
  /** One part more of the key, from what is no argument: `(service) => service.tenant`, or an AsyncLocalStorage. A call for which it finds none rejects. */
  varyBy?: VaryBy<S>;
  /** What the result hangs on, as far as the arguments tell: see `CacheService.invalidateTags`. */
  tags?: readonly Key[] | KeyOf<T, readonly Key[]>;
  /** Further tags, which only the result tells. They cost a round trip more with each read. */
  resultTags?: (result: R, ...args: V) => readonly Key[];
  /** Says of a call whether it goes through the cache; otherwise the method runs, and nothing is read or stored. */
  condition?: KeyOf<C, boolean>;
  /** Says of a result that it is not to be stored. */
  unless?: (result: R, ...args: U) => boolean;
  /** The ttl begins anew with each read, up to `maxTtl` in all. */
  sliding?: boolean;
  /** Checks what is read from the cache; what it refuses is a miss. */
  schema?: StandardSchemaV1;
  /** The namespace of the key. @default what `@CacheConfig` says, or none */
  namespace?: string;
  /** Raise it when the values have another shape, or the key another meaning. @default what `@CacheConfig` says, or none */
  version?: CacheVersion;
  /** Which cache. @default 'default' */
  cache?: string;
}

const decorator = '@Cacheable';
const ownOptions = [
  'key',
  'varyBy',
  'tags',
  'resultTags',
  'condition',
  'unless',
  'sliding',
  'schema',
  'namespace',
  'version',
];

/**
 * Caches the results of a method: `CacheService.getOrSet` around it, with all that it promises.
 *
 * Without a `key` it takes plain data for arguments, and a call with anything else rejects with InvalidKeyError. What could still share one
 * user's data with all is a boot error: a request-scoped class, and a controller's method without parameters. Give those a `key`, or a `varyBy`.
 *
 * Stacked with other decorators of Redstart, the upper one runs first. Of an `Observable`, the last value is cached. Streams, async iterables and generators are
 * refused. In a {@link commitScope} it serves what is cached and stores nothing; in one with changes it does not read, either.
 *
 * @throws OptionsError or InvalidKeyError where the class is defined, for a wrong option or a generator. Nest refuses to boot when RedisCacheModule is missing. A call
 *   rejects as `getOrSet` does, with MethodResultError for a stream, and with UnboundMethodError on an instance that Nest did not build.
 * @example
 * \@Cacheable({ key: (id: string) => ['flight', id], ttl: '1m', unless: (flight: Flight | null) => flight === null })
 * async find(id: string): Promise<Flight | null> { ... }
 */
export function Cacheable<
  A extends unknown[] = [],
  R = unknown,
  T extends unknown[] = [],
  C extends unknown[] = [],
  U extends unknown[] = [],
  V extends unknown[] = [],
  S extends object = object,
>(options?: CacheableOptions<A, R, T, C, U, V, S>): CacheMethodDecorator<[A, T, C, U, V], R, S>;
export function Cacheable(options: AnyCacheableOptions = {}): AnyMethodDecorator {
  const { key, varyBy, condition, namespace, version, cache = 'default', ...rest } = checked(options);
  const places = new MethodPlaces({ namespace, version, ttl: options.ttl });
  const optionsOf = loadOptions(rest);
  return bindCacheMethod({
    decorator,
    cache,
    around: async (service, call, proceed) => {
      const { args } = call;
      if (hasUncommittedChanges() || condition?.(...args) === false) return proceed();
      const place = places.of(call);
      const own = typeof key === 'function' ? key(...args) : (key ?? defaultKey(call));
      const run = async () => {
        const result = await proceed();
        refuseStream(result, call, decorator);
        return result;
      };
      const load = async (context: LoadContext) => {
        const result = await run();
        if (rest.resultTags !== undefined) context.addTags(...rest.resultTags(result, ...args));
        return result;
      };
      const values = partOf(service, place);
      const at = varyBy === undefined ? own : varied(own, varyBy(call.instance));
      const given = optionsOf(place, args);
      if (!isInTransaction()) return values.getOrSet(at, load, given);
      // No load: what a transaction sees is neither stored nor shared.
      const cached = await values.get(at, readOptions(given));
      return cached === undefined ? run() : cached;
    },
    check: (target, propertyKey) => {
      if (key !== undefined) return;
      if (typeof propertyKey !== 'string') {
        throw new OptionsError(
          '@Cacheable on a symbol',
          'needs a key: a symbol has no name of its own to build one from.',
        );
      }
      recordKeyless(target, { cache, propertyKey, namespace, varies: varyBy !== undefined });
    },
  });
}

/** As they are when it runs: what the functions take was checked by the decorator's type. */
type AnyCacheableOptions = CacheableOptions<unknown[], unknown, unknown[], unknown[], unknown[], unknown[]>;
type LoadedOptions = Omit<AnyCacheableOptions, 'key' | 'varyBy' | 'condition' | 'namespace' | 'version' | 'cache'>;

/** What `getOrSet` gets. Most methods say the same for all calls, and nothing is built for each. */
function loadOptions({ tags, unless, resultTags: _, ...fixed }: LoadedOptions) {
  const byPlace = new WeakMap<MethodPlace, GetOrSetOptions<unknown>>();
  return (place: MethodPlace, args: unknown[]): GetOrSetOptions<unknown> => {
    const known = byPlace.get(place) ?? { ...fixed, ...(place.ttl === undefined ? {} : { ttl: place.ttl }) };
    byPlace.set(place, known);
    if (tags === undefined && unless === undefined) return known;
    return {
      ...known,
      ...(tags === undefined ? {} : { tags: keysOf(tags, args, `${decorator}.tags`) }),
      ...(unless === undefined ? {} : { unless: (result) => unless(result, ...args) }),
    };
  };
}

function readOptions({ tags, schema }: GetOrSetOptions<unknown>): ReadOptions {
  return { ...(typeof tags === 'object' ? { tags } : {}), ...(schema === undefined ? {} : { schema }) };
}

function checked(options: AnyCacheableOptions): AnyCacheableOptions {
  checkKnownKeys(options, [...ownOptions, ...loadOptionNames, 'cache'], decorator);
  checkLoadOptions(options, decorator);
  checkMethodOptions(options, ['varyBy', 'condition', 'unless', 'resultTags'], decorator);
  checkSchema(options.schema, `${decorator}.schema`);
  return options;
}
