import {
  checkBoolean,
  checkKnownKeys,
  checkOneOf,
  MethodCancelledError,
  OptionsError,
  type Key,
  type KeyOf,
  type MethodCall,
} from '@redstart/redis-core';
import type { CacheVersion } from '../keys.js';
import { MethodPlaces, partOf } from './cache-config.js';
import { bindCacheMethod, checkMethodOptions } from './cache-method.js';
import { changeAt, checkMoment, evict, type ChangeMoment, type Eviction } from './method-change.js';
import { checkKey, keysOf, varied, type VaryBy } from './method-key.js';
import type { AnyMethodDecorator, CacheMethodDecorator } from './method-types.js';

/** Options of {@link CacheEvict}; the parameters as in {@link CacheableOptions}, `K` those of `keys`, `W` those of `resultKeys`. At least one says what is evicted. */
export interface CacheEvictOptions<
  A extends unknown[] = unknown[],
  R = unknown,
  T extends unknown[] = A,
  C extends unknown[] = A,
  U extends unknown[] = A,
  V extends unknown[] = A,
  K extends unknown[] = A,
  W extends unknown[] = A,
  S extends object = object,
> {
  /** The key of one value. */
  key?: Key | KeyOf<A>;
  /** The keys of several: an array, of which each item is a key. */
  keys?: readonly Key[] | KeyOf<K, readonly Key[]>;
  /** Keys that only the result tells. */
  resultKeys?: (result: R, ...args: W) => readonly Key[];
  /** All that hangs on these tags, in all namespaces of the cache. */
  tags?: readonly Key[] | KeyOf<T, readonly Key[]>;
  /** Tags that only the result tells. */
  resultTags?: (result: R, ...args: V) => readonly Key[];
  /** All of the namespace; where there is none, all of the cache. */
  allEntries?: boolean;
  /** One part more of each key, as in {@link Cacheable}. */
  varyBy?: VaryBy<S>;
  /** Says of a call whether it evicts; asked before the method runs, which it does in any case. */
  condition?: KeyOf<C, boolean>;
  /** Says of a result that nothing is to be evicted. */
  unless?: (result: R, ...args: U) => boolean;
  /**
   * `'success'`: when the method has resolved. `'always'`: also when it has rejected. `'commit'`: when the transaction around has been committed, see {@link commitScope}, also
   * when the method has rejected: what it had written before is committed as well. A call outside of one rejects with CacheTransactionError. @default 'success'
   */
  after?: ChangeMoment;
  /** Evicts before the method runs instead, whatever becomes of it. */
  before?: boolean;
  /** The namespace of the keys, and of `allEntries`. @default what `@CacheConfig` says, or none */
  namespace?: string;
  /** The version of the values whose keys are named; tags and `allEntries` reach those of all. @default what `@CacheConfig` says, or none */
  version?: CacheVersion;
  /** Which cache. @default 'default' */
  cache?: string;
}

const decorator = '@CacheEvict';
const resultFunctions = ['resultKeys', 'resultTags', 'unless'] as const;
const functions = [...resultFunctions, 'varyBy', 'condition'] as const;
const what = ['key', 'keys', 'tags', 'resultKeys', 'resultTags', 'allEntries'] as const;

/**
 * Evicts values around a method: `CacheService.delete`, `invalidateTags` and `clear`, with all that they promise. Loads under way don't bring back what was there before.
 *
 * The call resolves when it has been evicted. That Redis is down does not make it reject: the method has done its work, and the eviction is made good as soon as Redis
 * is back. An Observable whose subscriber leaves early counts as a success: nobody knows how far it came. Several stand above each other; the lowest evicts first.
 *
 * @throws OptionsError or InvalidKeyError where the class is defined, for a wrong option, or none that says what to evict. Nest refuses to boot when RedisCacheModule is missing. A call
 *   rejects with whatever the method throws · InvalidKeyError, before it runs unless only the result tells the key · CacheTransactionError · UnboundMethodError
 * @example
 * \@CacheEvict({ key: (id: string) => ['flight', id], tags: (id: string) => [['of flight', id]] })
 * async reschedule(id: string, departure: Date): Promise<void> { ... }
 * @see one UNLINK per key, one EVALSHA per tag, one for `allEntries`, in one system call
 */
export function CacheEvict<
  A extends unknown[] = [],
  R = unknown,
  T extends unknown[] = [],
  C extends unknown[] = [],
  U extends unknown[] = [],
  V extends unknown[] = [],
  K extends unknown[] = [],
  W extends unknown[] = [],
  S extends object = object,
>(options: CacheEvictOptions<A, R, T, C, U, V, K, W, S>): CacheMethodDecorator<[A, T, C, U, V, K, W], R, S>;
export function CacheEvict(options: AnyEvictOptions): AnyMethodDecorator {
  const {
    condition,
    unless,
    after = 'success',
    before = false,
    namespace,
    version,
    cache = 'default',
  } = checked(options);
  const places = new MethodPlaces({ namespace, version });
  return bindCacheMethod({
    decorator,
    cache,
    around: async (service, call, proceed) => {
      if (condition?.(...call.args) === false) return proceed();
      checkMoment(service, after, call, decorator);
      const evicted = partOf(service, places.of(call));
      // What is wrong with them shows before the method has done anything.
      const known = knownEviction(options, call);
      if (before) {
        await evict(evicted, known);
        return proceed();
      }
      let result: unknown;
      try {
        result = await proceed();
      } catch (error) {
        // What has failed after its write is committed where its caller bears with it.
        if (after !== 'success' || error instanceof MethodCancelledError) {
          await changeAt(after, () => evict(evicted, known));
        }
        throw error;
      }
      let all: Eviction;
      try {
        if (unless?.(result, ...call.args) === true) return result;
        all = withResult(options, call, known, result);
      } catch (error) {
        // One of the functions has thrown, and the method has done its work.
        await changeAt(after, () => evict(evicted, known));
        throw error;
      }
      await changeAt(after, () => evict(evicted, all));
      return result;
    },
  });
}

type AnyEvictOptions = CacheEvictOptions<
  unknown[],
  unknown,
  unknown[],
  unknown[],
  unknown[],
  unknown[],
  unknown[],
  unknown[]
>;

/** What the arguments tell. */
function knownEviction(
  { key, keys, tags, allEntries = false, varyBy }: AnyEvictOptions,
  { args, instance }: MethodCall<unknown[]>,
): Eviction & { readonly variant: Key | undefined } {
  const one = typeof key === 'function' ? key(...args) : key;
  const variant = varyBy?.(instance);
  if (varyBy !== undefined) checkKey(variant);
  if (key !== undefined) checkKey(one);
  const all = [...(one === undefined ? [] : [one]), ...keysOf(keys, args, `${decorator}.keys`)];
  return {
    keys: variant === undefined ? all : all.map((each) => varied(each, variant)),
    tags: keysOf(tags, args, `${decorator}.tags`),
    all: allEntries,
    variant,
  };
}

/** With what only the result tells. */
function withResult(
  { resultKeys, resultTags }: AnyEvictOptions,
  { args }: MethodCall<unknown[]>,
  { keys, tags, all, variant }: ReturnType<typeof knownEviction>,
  result: unknown,
): Eviction {
  const lateKeys = keysOf(resultKeys?.(result, ...args), [], `${decorator}.resultKeys`);
  const lateTags = keysOf(resultTags?.(result, ...args), [], `${decorator}.resultTags`);
  return {
    keys: [...keys, ...(variant === undefined ? lateKeys : lateKeys.map((each) => varied(each, variant)))],
    tags: [...tags, ...lateTags],
    all,
  };
}

function checked(options: AnyEvictOptions): AnyEvictOptions {
  checkKnownKeys(
    options,
    [...what, 'unless', 'varyBy', 'condition', 'after', 'before', 'namespace', 'version', 'cache'],
    decorator,
  );
  checkMethodOptions(options, functions, decorator);
  const { allEntries, after, before } = options;
  if (allEntries !== undefined) checkBoolean(allEntries, `${decorator}.allEntries`);
  if (before !== undefined) checkBoolean(before, `${decorator}.before`);
  if (after !== undefined) checkOneOf(after, `${decorator}.after`, ['success', 'always', 'commit']);
  const said = what.filter((name) => options[name] !== undefined && options[name] !== false);
  if (said.length === 0) throw new OptionsError(decorator, `says nothing to evict. Give one of ${what.join(', ')}.`);
  if (before === true && (after !== undefined || resultFunctions.some((name) => options[name] !== undefined))) {
    throw new OptionsError(
      `${decorator}.before`,
      `evicts before there is a result: it does not go with after, ${resultFunctions.join(', ')}.`,
    );
  }
  return options;
}
