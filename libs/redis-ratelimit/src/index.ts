export {
  RedisRateLimitModule,
  type RateLimitModuleAsyncOptions,
  type RateLimitModuleOptions,
} from './ratelimit.module.js';
export type { RateLimitOptions } from './ratelimit.options.js';
export { RateLimitService, type ConsumeOptions, type RateLimitCheck } from './ratelimit.service.js';
export { getRateLimitToken, InjectRateLimit } from './ratelimit.tokens.js';
export { RateLimitExceededError, RateLimitKeyMissingError, UnknownPolicyError } from './ratelimit.errors.js';
export type { LimitDecision, RateLimitDecision, RateLimitReceipt } from './decision.js';

export { createPolicies, type Policies, type PolicyName } from './policies/create-policies.js';
export { slidingWindow, type SlidingWindow, type SlidingWindowOptions } from './policies/sliding-window.js';
export { all, type All, type AllOptions } from './policies/all.js';
export type { OnError } from './policies/on-error.js';
export type { Limit, RateLimitPolicy } from './policies/policy.js';

export { RateLimit, SkipRateLimit, type RateLimitDecoratorOptions } from './decorators/rate-limit.decorator.js';
export { LimitCalls, type LimitCallsOptions } from './decorators/limit-calls.decorator.js';
export type { PolicyArgument } from './decorators/inline-policy.js';
export { RateLimitGuard } from './http/rate-limit.guard.js';
export { by, type MaybeKey, type RateLimitContext, type RequestKey } from './http/by.js';
export type { RequestCost } from './http/declared-limits.js';
