import 'reflect-metadata';
import { checkKnownKeys, durationMs, OptionsError, type Duration, type MethodCall } from '@redstart/redis-core';
import { CacheService } from '../cache.service.js';
import { checkVersion, type CacheVersion } from '../keys.js';

/** What the cache decorators of a class have in common. */
export interface CacheConfigOptions {
  /** The namespace of their keys, as {@link CacheService.namespace} takes it. @default none: the cache itself */
  namespace?: string;
  /** How long their values live. @default the module's `ttl` */
  ttl?: Duration;
  /** Raise it when their values have another shape, or their keys another meaning: see {@link CacheService.namespace}. @default none */
  version?: CacheVersion;
}

/** A symbol of this file, so nobody else writes under it. */
const configKey = Symbol('@CacheConfig');

/**
 * Says for all cache decorators of a class, also of inherited methods, what they do not say themselves. A subclass has what its base classes say, and may say otherwise.
 *
 * @throws OptionsError where the class is defined
 * @example
 * \@CacheConfig({ namespace: 'flights', ttl: '1m' })
 * \@Injectable()
 * export class FlightService { ... }
 */
export function CacheConfig(options: CacheConfigOptions): ClassDecorator {
  checkKnownKeys(options, ['namespace', 'ttl', 'version'], '@CacheConfig');
  if (options.namespace !== undefined) checkNamespace(options.namespace, '@CacheConfig.namespace');
  if (options.ttl !== undefined) durationMs(options.ttl, '@CacheConfig.ttl');
  if (options.version !== undefined) checkVersion(options.version, '@CacheConfig.version');
  return (target) => {
    Reflect.defineMetadata(configKey, options, target);
  };
}

/** What stands at a class and, where that says nothing, at its base classes. */
export function cacheConfigOf(type: unknown): CacheConfigOptions {
  if (typeof type !== 'function' || type === Function.prototype) return {};
  const own: unknown = Reflect.getOwnMetadata(configKey, type);
  const inherited = cacheConfigOf(Object.getPrototypeOf(type));
  // Only the decorator writes it.
  return own === undefined ? inherited : { ...inherited, ...(own as CacheConfigOptions) };
}

/** @throws OptionsError */
export function checkNamespace(namespace: unknown, option: string): void {
  if (typeof namespace === 'string' && !namespace.split(':').includes('')) return;
  throw new OptionsError(option, "expected a non-empty name, such as 'users' or 'users:admins'.");
}

/** What holds for the calls of one decorated method on instances of one class. */
export interface MethodPlace {
  readonly namespace: string | undefined;
  readonly version: CacheVersion | undefined;
  readonly ttl: Duration | undefined;
}

/** Finds the {@link MethodPlace} of calls; what a class says does not change any more. */
export class MethodPlaces {
  readonly #places = new WeakMap<object, MethodPlace>();

  constructor(private readonly own: { readonly [name in keyof MethodPlace]?: MethodPlace[name] | undefined }) {}

  of({ instance }: Pick<MethodCall, 'instance'>): MethodPlace {
    const type = instance.constructor;
    const known = this.#places.get(type);
    if (known !== undefined) return known;
    const config = cacheConfigOf(type);
    const { own } = this;
    const place: MethodPlace = {
      namespace: own.namespace ?? config.namespace,
      version: own.version ?? config.version,
      ttl: own.ttl ?? config.ttl,
    };
    this.#places.set(type, place);
    return place;
  }
}

const parts = new WeakMap<CacheService, Map<string, CacheService>>();

/** The part of a cache where the values of a method are, made once: calls are many, and places few. */
export function partOf(cache: CacheService, { namespace, version }: MethodPlace): CacheService {
  if (namespace === undefined && version === undefined) return cache;
  const known = parts.get(cache) ?? new Map<string, CacheService>();
  parts.set(cache, known);
  // No namespace begins with a separator, and no version holds one.
  const id = version === undefined ? `${namespace}` : `:${version}:${namespace ?? ''}`;
  const part = known.get(id) ?? made(cache, namespace, version);
  known.set(id, part);
  return part;
}

function made(cache: CacheService, namespace: string | undefined, version: CacheVersion | undefined): CacheService {
  if (namespace !== undefined) return cache.namespace(namespace, { version });
  return version === undefined ? cache : cache.versioned(version);
}
