import type { ApplicationConfig, HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import type { CacheService } from '../cache.service.js';
import { CachedRoutes } from './cached-routes.js';
import { HttpCacheInterceptor } from './http-cache.interceptor.js';

/** The namespace of responses. */
const namespace = 'http';

/**
 * Puts the interceptor around those of an application that has cached routes: while Nest builds it no other one is there yet, and routes are connected later.
 *
 * @returns the factory of a provider
 */
export function cacheRoutes(name: string) {
  return (
    modules: ModulesContainer,
    config: ApplicationConfig,
    adapterHost: HttpAdapterHost,
    cache: CacheService,
  ): CachedRoutes => {
    const routes = new CachedRoutes(modules, name);
    if (routes.size > 0) {
      config.addGlobalInterceptor(new HttpCacheInterceptor(routes, cache.namespace(namespace), adapterHost));
    }
    return routes;
  };
}
