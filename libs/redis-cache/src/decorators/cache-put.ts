import { checkKnownKeys, checkOneOf, OptionsError, type Key, type KeyOf } from '@redstart/redis-core';
import type { StoreOptions } from '../calls/call.options.js';
import { checkLoadOptions } from './check-load-options.js';
import type { CacheVersion } from '../keys.js';
import { MethodPlaces, partOf } from './cache-config.js';
import { bindCacheMethod, checkMethodOptions } from './cache-method.js';
import { changeAt, checkMoment, evict, put } from './method-change.js';
import { checkKey, keysOf, varied, type VaryBy } from './method-key.js';
import type { AnyMethodDecorator, CacheMethodDecorator } from './method-types.js';
import { refuseStream } from './streams.js';

/** Options of {@link CachePut}; the parameters as in {@link CacheableOptions}, `K` those of `resultKey`. One of `key` and `resultKey` is required. */
export interface CachePutOptions<
  A extends unknown[] = unknown[],
  R = unknown,
  T extends unknown[] = A,
  C extends unknown[] = A,
  U extends unknown[] = A,
  V extends unknown[] = A,
  K extends unknown[] = A,
  S extends object = object,
> extends Pick<StoreOptions, 'ttl' | 'staleWhileRevalidate' | 'staleIfError' | 'sliding'> {
  /** The key: a constant, or built from the arguments. The same one as that of the `@Cacheable` that reads it. */
  key?: Key | KeyOf<A>;
  /** The key, where only the result tells: `(flight: Flight) => ['flight', flight.id]`. */
  resultKey?: (result: R, ...args: K) => Key;
  /** One part more of the key, as in {@link Cacheable}. */
  varyBy?: VaryBy<S>;
  /** What the result hangs on. */
  tags?: readonly Key[] | KeyOf<T, readonly Key[]>;
  /** Further tags, which only the result tells. */
  resultTags?: (result: R, ...args: V) => readonly Key[];
  /** Says of a call whether its result is stored; asked before the method runs, which it does in any case. */
  condition?: KeyOf<C, boolean>;
  /** Says of a result that it is not to be stored. */
  unless?: (result: R, ...args: U) => boolean;
  /** `'commit'`: when the transaction around has been committed, see {@link commitScope}. @default 'success' */
  after?: 'success' | 'commit';
  /** The namespace of the key. @default what `@CacheConfig` says, or none */
  namespace?: string;
  /** The version of the value, as those who read it say. @default what `@CacheConfig` says, or none */
  version?: CacheVersion;
  /** Which cache. @default 'default' */
  cache?: string;
}

const decorator = '@CachePut';
const functions = ['resultKey', 'varyBy', 'resultTags', 'condition', 'unless'] as const;
const lifetimes = ['ttl', 'staleWhileRevalidate', 'staleIfError'] as const;
const others = ['key', 'tags', 'after', 'sliding', 'namespace', 'version', 'cache'] as const;

/**
 * Runs a method, always, and stores what it returns: `CacheService.set` after it. Loads under way of the same key don't overwrite it.
 *
 * Where the result can't be stored, because Redis is down or the value too large, what was stored before is deleted, at once or as soon as Redis is back; the call
 * does not reject. Of two calls at the same time in two processes the one that stores last wins, whichever the database took first: where that matters, evict
 * instead. A method that rejects stores nothing; in a transaction that is committed all the same it evicts what is there. Streams, async iterables and generators are refused.
 *
 * @throws OptionsError or InvalidKeyError where the class is defined, for a wrong option, neither `key` nor `resultKey`, or a generator. Nest refuses to boot when RedisCacheModule is
 *   missing. A call rejects with whatever the method throws · InvalidKeyError · OptionsError · CacheTransactionError · MethodResultError · UnboundMethodError
 * @example
 * \@CachePut({ key: (flight: Flight) => ['flight', flight.id] })
 * async save(flight: Flight): Promise<Flight> { ... }
 * @see the commands of `set`
 */
export function CachePut<
  A extends unknown[] = [],
  R = unknown,
  T extends unknown[] = [],
  C extends unknown[] = [],
  U extends unknown[] = [],
  V extends unknown[] = [],
  K extends unknown[] = [],
  S extends object = object,
>(options: CachePutOptions<A, R, T, C, U, V, K, S>): CacheMethodDecorator<[A, T, C, U, V, K], R, S>;
export function CachePut(options: AnyPutOptions): AnyMethodDecorator {
  const {
    key,
    resultKey,
    resultTags,
    varyBy,
    condition,
    unless,
    after = 'success',
    cache = 'default',
  } = checked(options);
  const places = new MethodPlaces(options);
  return bindCacheMethod({
    decorator,
    cache,
    around: async (service, call, proceed) => {
      const { args, instance } = call;
      if (condition?.(...args) === false) return proceed();
      checkMoment(service, after, call, decorator);
      // What is wrong with them shows before the method has done anything.
      const known = typeof key === 'function' ? key(...args) : key;
      const variant = varyBy?.(instance);
      const tags = keysOf(options.tags, args, `${decorator}.tags`);
      if (resultKey === undefined) checkKey(known);
      if (varyBy !== undefined) checkKey(variant);
      const place = places.of(call);
      const { ttl } = place;
      const target = partOf(service, place);
      const placeOf = (own: Key) => (variant === undefined ? own : varied(own, variant));
      const evictKnown = () => {
        const keys = known === undefined ? [] : [placeOf(known)];
        return changeAt(after, () => evict(target, { keys, tags: [], all: false }));
      };
      let result: unknown;
      try {
        result = await proceed();
      } catch (error) {
        // What it had written before it failed is committed where its caller bears with it.
        if (after === 'commit') await evictKnown();
        throw error;
      }
      refuseStream(result, call, decorator);
      let at: Key;
      let late: readonly Key[];
      try {
        if (unless?.(result, ...args) === true) return result;
        const own = resultKey === undefined ? known : resultKey(result, ...args);
        checkKey(own);
        at = placeOf(own);
        late = keysOf(resultTags?.(result, ...args), [], `${decorator}.resultTags`);
      } catch (error) {
        // One of the functions has thrown, and the method has done its work: what was there before is not true any more.
        await evictKnown();
        throw error;
      }
      const lifetime = { ...lifetimeOf(options), ...(ttl === undefined ? {} : { ttl }) };
      await changeAt(after, () => put(target, at, result, { ...lifetime, tags: [...tags, ...late] }));
      return result;
    },
  });
}

type AnyPutOptions = CachePutOptions<unknown[], unknown, unknown[], unknown[], unknown[], unknown[], unknown[]>;

function lifetimeOf({ staleWhileRevalidate, staleIfError, sliding }: AnyPutOptions): StoreOptions {
  return {
    ...(staleWhileRevalidate === undefined ? {} : { staleWhileRevalidate }),
    ...(staleIfError === undefined ? {} : { staleIfError }),
    ...(sliding === undefined ? {} : { sliding }),
  };
}

function checked(options: AnyPutOptions): AnyPutOptions {
  checkKnownKeys(options, [...functions, ...lifetimes, ...others], decorator);
  const { key, resultKey, after } = options;
  if ((key === undefined) === (resultKey === undefined)) {
    throw new OptionsError(
      decorator,
      'needs a key, or a resultKey: the one by which a @Cacheable reads what it stores.',
    );
  }
  checkLoadOptions(Object.fromEntries(lifetimes.map((name) => [name, options[name]])), decorator);
  checkMethodOptions(options, functions, decorator);
  if (after !== undefined) checkOneOf(after, `${decorator}.after`, ['success', 'commit']);
  return options;
}
