import {
  bindMethod,
  checkBoolean,
  checkFunction,
  type Key,
  type KeyOf,
  type MethodBinding,
} from '@redstart/redis-core';
import type { CacheService } from '../cache.service.js';
import { getCacheToken } from '../cache.tokens.js';
import { checkVersion, type CacheVersion } from '../keys.js';
import { checkNamespace } from './cache-config.js';
import { checkKey, keysOf } from './method-key.js';
import type { AnyMethodDecorator } from './method-types.js';
import { refuseGenerator } from './streams.js';

/** What the decorators of a cache do each in its own way. */
export interface CacheMethodBinding {
  /** How the user writes it: `@Cacheable`. */
  readonly decorator: string;
  /** The name of the cache. */
  readonly cache: string;
  /** Runs a call. */
  readonly around: MethodBinding<CacheService, unknown[]>['around'];
  /** Refuses what else is wrong where the class is defined. */
  readonly check?: (target: object, propertyKey: PropertyKey) => void;
}

/** Binds a method to a cache. @throws OptionsError for a generator, where the class is defined */
export function bindCacheMethod({ decorator, cache, around, check }: CacheMethodBinding): AnyMethodDecorator {
  return bindMethod<CacheService>({
    decorator,
    runtime: getCacheToken(cache),
    module: cacheModuleOf(cache),
    around,
    check: (target, propertyKey, { value }) => {
      refuseGenerator(target, propertyKey, value, decorator);
      check?.(target, propertyKey);
    },
  });
}

/** The module that provides a cache, as a message names it. */
export function cacheModuleOf(cache: string): string {
  return cache === 'default' ? 'RedisCacheModule.forRoot()' : `RedisCacheModule.forRoot({ name: '${cache}' })`;
}

/** What several of the decorators take. */
interface MethodOptions {
  readonly key?: Key | KeyOf<unknown[]>;
  readonly keys?: readonly Key[] | KeyOf<unknown[], readonly Key[]>;
  readonly tags?: readonly Key[] | KeyOf<unknown[], readonly Key[]>;
  readonly namespace?: string;
  readonly version?: CacheVersion;
  readonly sliding?: boolean;
}

/**
 * Refuses what is wrong with the options that several decorators have.
 *
 * @param functions the names of those that have to be functions where they are given
 * @throws OptionsError · InvalidKeyError
 */
export function checkMethodOptions<Names extends string>(
  options: MethodOptions & { readonly [Name in Names]?: unknown },
  functions: readonly Names[],
  decorator: string,
): void {
  for (const name of functions) if (options[name] !== undefined) checkFunction(options[name], `${decorator}.${name}`);
  const { key, sliding } = options;
  if (key !== undefined && typeof key !== 'function') checkKey(key);
  if (sliding !== undefined) checkBoolean(sliding, `${decorator}.sliding`);
  if (options.namespace !== undefined) checkNamespace(options.namespace, `${decorator}.namespace`);
  if (options.version !== undefined) checkVersion(options.version, `${decorator}.version`);
  for (const name of ['keys', 'tags'] as const) {
    if (typeof options[name] !== 'function') keysOf(options[name], [], `${decorator}.${name}`);
  }
}
