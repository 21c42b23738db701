import {
  bindMethod,
  checkFunction,
  checkKnownKeys,
  durationMs,
  OptionsError,
  type Duration,
  type Key,
  type KeyDoesNotFit,
  type KeyOf,
  type MethodCall,
} from '@redstart/redis-core';
import type { Observable } from 'rxjs';
import type { CacheService } from '../cache.service.js';
import { getCacheToken } from '../cache.tokens.js';
import { argumentsKey } from './arguments-key.js';
import { recordKeyless } from './keyless.js';

/** Options of {@link Cacheable}. `A` are the first arguments of the method, as its functions name them, `R` what it resolves with. */
export interface CacheableOptions<A extends unknown[], R> {
  /**
   * The key: a constant, or built from the arguments. Write the types of the parameters; they are checked against the method. Build keys that hold
   * user input as arrays.
   *
   * @default the class, the method and all arguments, told apart by value and type
   */
  key?: Key | KeyOf<A>;
  /** How long a result lives. @default the module's `ttl` */
  ttl?: Duration;
  /** Says of a call whether it goes through the cache; otherwise the method runs, and nothing is read or stored. */
  condition?: KeyOf<A, boolean>;
  /** Says of a result that it is not to be stored. */
  unless?: (result: R, ...args: A) => boolean;
  /** Which cache. @default 'default' */
  cache?: string;
}

/** Fits a method of an instance that returns a promise or an Observable of `R`, and whose parameters start with ones that fit `A`. */
export type CacheableDecorator<A extends unknown[], R> = <M extends (...args: never[]) => Promise<R> | Observable<R>>(
  target: object,
  propertyKey: PropertyKey,
  descriptor: TypedPropertyDescriptor<M> & (Parameters<M> extends [...A, ...unknown[]] ? unknown : KeyDoesNotFit<A>),
) => void;

const knownOptions = ['key', 'ttl', 'condition', 'unless', 'cache'];

/**
 * Caches the results of a method: {@link CacheService.getOrSet} around it, with all that it promises.
 *
 * Without a `key` it takes plain data for arguments, and a call with anything else rejects with InvalidKeyError. What could still share one
 * user's data with all is a boot error: a request-scoped class, and a controller's method without parameters. Give those a `key`.
 *
 * Stacked with other decorators of Redstart, the upper one runs first. Of an `Observable`, the last value is cached.
 *
 * @throws OptionsError where the class is defined, for a wrong option. Nest refuses to boot when RedisCacheModule is missing. A call
 *   rejects as `getOrSet` does, and with UnboundMethodError on an instance that Nest did not build.
 * @example
 * \@Cacheable({ key: (id: string) => ['flight', id], ttl: '1m', unless: (flight: Flight | null) => flight === null })
 * async find(id: string): Promise<Flight | null> { ... }
 */
export function Cacheable<A extends unknown[] = unknown[], R = unknown>(
  options: CacheableOptions<A, R> = {},
): CacheableDecorator<A, R> {
  const { key, ttl, condition, unless, cache = 'default' } = checked(options);
  return bindMethod<CacheService, A>({
    decorator: '@Cacheable',
    runtime: getCacheToken(cache),
    module: cache === 'default' ? 'RedisCacheModule.forRoot()' : `RedisCacheModule.forRoot({ name: '${cache}' })`,
    around: async (service, call, proceed) => {
      if (condition?.(...call.args) === false) return proceed();
      const of = typeof key === 'function' ? key(...call.args) : (key ?? defaultKey(call));
      return service.getOrSet(of, proceed, {
        ...(ttl === undefined ? {} : { ttl }),
        // The decorator's type holds the method to R.
        ...(unless === undefined ? {} : { unless: (result) => unless(result as R, ...call.args) }),
      });
    },
    check: (target, propertyKey) => {
      if (key !== undefined) return;
      if (typeof propertyKey !== 'string') {
        throw new OptionsError(
          '@Cacheable on a symbol',
          'needs a key: a symbol has no name of its own to build one from.',
        );
      }
      recordKeyless(target, cache, propertyKey);
    },
  });
}

/** Names the declaring class, too: an override and the method it calls through `super` are two methods of one name. */
function defaultKey({ className, declaringClass, methodName, args }: MethodCall): Key {
  const owner = className === declaringClass ? className : `${className}<${declaringClass}`;
  return [owner, methodName, argumentsKey(`${className}.${methodName}`, args)];
}

function checked<A extends unknown[], R>(options: CacheableOptions<A, R>): CacheableOptions<A, R> {
  checkKnownKeys(options, knownOptions, '@Cacheable');
  if (options.ttl !== undefined) durationMs(options.ttl, '@Cacheable.ttl');
  if (options.condition !== undefined) checkFunction(options.condition, '@Cacheable.condition');
  if (options.unless !== undefined) checkFunction(options.unless, '@Cacheable.unless');
  return options;
}
