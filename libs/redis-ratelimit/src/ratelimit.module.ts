import { Global, Module, type DynamicModule, type Provider } from '@nestjs/common';
import { APP_GUARD, ApplicationConfig, HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { featureModule, type AsyncOptions, type FeatureModuleIdentity } from '@redstart/redis-core';
import { prepareHandlers } from './requests/prepare-handlers.js';
import { GlobalRateLimitGuard } from './requests/rate-limit.guard.js';
import { RequestLimiter } from './requests/request-limiter.js';
import { DeclarationCheck } from './policies/declaration-check.js';
import { resolveRateLimitOptions, type RateLimitOptions } from './ratelimit.options.js';
import { RateLimitService } from './ratelimit.service.js';
import { getRateLimitToken, getRequestLimiterToken, getThrottlerStorageToken } from './ratelimit.tokens.js';
import { RedisThrottlerStorage } from './throttler/throttler-storage.js';

/** `name` and `connection` stand outside the factory: they shape the module before any factory can run. */
export type RateLimitModuleOptions = RateLimitOptions & FeatureModuleIdentity;
export type RateLimitModuleAsyncOptions = AsyncOptions<RateLimitOptions> & FeatureModuleIdentity;

/**
 * Rate limits for an application. Global: import it once, in the root module, beside `RedisModule`.
 *
 * @example
 * RedisRateLimitModule.forRoot({ policies, global: ['api'] })
 * @example
 * RedisRateLimitModule.forRootAsync({ inject: [ConfigService], useFactory: (config) => ({ policies: policiesOf(config) }) })
 */
@Global()
@Module({})
export class RedisRateLimitModule {
  /** @throws OptionsError, at boot: a wrong option or decorator, an unknown connection, the same name twice · UnknownPolicyError */
  static forRoot(options: RateLimitModuleOptions = {}): DynamicModule {
    return withGlobalGuard(module.forRoot(options), options.name);
  }

  static forRootAsync(options: RateLimitModuleAsyncOptions): DynamicModule {
    return withGlobalGuard(module.forRootAsync(options), options.name);
  }
}

const module = featureModule<RateLimitOptions, RateLimitService>({
  module: RedisRateLimitModule,
  token: getRateLimitToken,
  service: RateLimitService,
  create: (connection, options, name) =>
    new RateLimitService(connection, resolveRateLimitOptions(options, name, connection.clock), name),
  providers: (name): Provider[] => [
    {
      provide: getRequestLimiterToken(name),
      useFactory: (service: RateLimitService, adapterHost: HttpAdapterHost) =>
        new RequestLimiter(name, service, adapterHost),
      inject: [getRateLimitToken(name), HttpAdapterHost],
    },
    {
      provide: getThrottlerStorageToken(name),
      useFactory: ({ connection, options }: RateLimitService) => new RedisThrottlerStorage(connection, options),
      inject: [getRateLimitToken(name)],
    },
    ...(name === 'default' ? [{ provide: RedisThrottlerStorage, useExisting: getThrottlerStorageToken(name) }] : []),
  ],
});

/** What the module keeps to itself: a global guard is no export, and the check at boot nobody's business. */
function withGlobalGuard(described: DynamicModule, name = 'default'): DynamicModule {
  const own: Provider[] = [
    {
      provide: APP_GUARD,
      useFactory: (limiter: RequestLimiter) => new GlobalRateLimitGuard(name, limiter),
      inject: [getRequestLimiterToken(name)],
    },
    {
      provide: Symbol(`rate limit declarations of "${name}"`),
      useFactory: (modules: ModulesContainer, config: ApplicationConfig, service: RateLimitService) => {
        prepareHandlers(modules, config, service.options, name);
        return new DeclarationCheck(modules, service.options, name);
      },
      inject: [ModulesContainer, ApplicationConfig, getRateLimitToken(name)],
    },
  ];
  return { ...described, providers: [...(described.providers ?? []), ...own] };
}
