import { injectRuntime, OptionsError } from '@redstart/redis-core';
import { getCacheToken } from '../cache.tokens.js';
import { declareHttpCache } from './declared-routes.js';
import { resolveHttpCache, type HttpCacheOptions, type HttpCacheRequest } from './http-cache.options.js';

/**
 * Caches the responses of a route: `GET`, and `HEAD` from what a `GET` has stored. On Express and Fastify.
 *
 * A hit runs the guards, and neither interceptors, pipes nor the handler: what all of them have made of the response is stored, with its status and headers. One request of all
 * processes loads a response, as with `getOrSet`. It is named by an ETag; a client that has it gets a 304. `Vary`, `Age`, `Cache-Control` and `Cache-Status` say what it is.
 *
 * **Personal responses are not shared.** A request with `Authorization` or `Cookie`, or whose guards have found a `user`, goes past the cache, unless `varyBy` says whose response it is.
 * Nor is a response stored that sets a cookie, varies by a header that `vary` does not list, says `private`, `no-store` or `no-cache`, is an error, a stream or a
 * StreamableFile, or answers a `Range`. Everything else that the handler reads besides the URL is `varyBy`'s and `vary`'s to say.
 *
 * @throws OptionsError where the class is defined, for a wrong option; at boot on a method that is no route of `GET`, takes the response in its own hands (`@Res()` without
 *   `passthrough`), or has `@Sse`, `@Render` or `@Redirect`. Nest refuses to boot when RedisCacheModule is missing.
 * @example
 * \@HttpCache({ ttl: '1m', tags: ['flights'], vary: ['accept-language'] })
 * \@Get('flights')
 * search(@Query() query: SearchDto): Promise<Flight[]> { ... }
 * @see RFC 9111 (HTTP Caching), RFC 9110 (conditional requests), RFC 9211 (Cache-Status); commands: those of `getOrSet`
 */
export function HttpCache<Q = HttpCacheRequest, B = unknown>(options: HttpCacheOptions<Q, B> = {}): MethodDecorator {
  const resolved = resolveHttpCache(options);
  return (target, propertyKey, descriptor) => {
    const method: unknown = descriptor.value;
    if (typeof target === 'function' || typeof method !== 'function' || typeof propertyKey !== 'string') {
      throw new OptionsError(`@HttpCache on ${String(propertyKey)}`, 'stands on a route: a method of a controller.');
    }
    declareHttpCache(target, propertyKey, resolved);
    // Not needed by the interceptor: it makes a forgotten module an error at boot that names the controller.
    injectRuntime(target, getCacheToken(resolved.cache));
  };
}
