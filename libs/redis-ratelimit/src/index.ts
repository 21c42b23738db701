export {
  RedisRateLimitModule,
  type RateLimitModuleAsyncOptions,
  type RateLimitModuleOptions,
} from './ratelimit.module.js';
export type { RateLimitOptions } from './ratelimit.options.js';
export { RateLimitService, type ConsumeOptions, type RateLimitCheck, type WaitOptions } from './ratelimit.service.js';
export { getRateLimitToken, getThrottlerStorageToken, InjectRateLimit } from './ratelimit.tokens.js';
export {
  RateLimitExceededError,
  RateLimitInputError,
  RateLimitKeyMissingError,
  RequestDeniedError,
  SlotLostError,
  UnknownPolicyError,
} from './ratelimit.errors.js';
export { currentSlot } from './slots/current-slot.js';
export type { Slot } from './slots/slot.js';
export type { LimitDecision, RateLimitDecision, RateLimitReceipt } from './decision.js';

export {
  onRateLimitEvent,
  rateLimitChannel,
  type RateLimitEvent,
  type RateLimitEventSource,
  type RateLimitHappening,
} from './telemetry/ratelimit-events.js';
export type { PolicyStats } from './telemetry/ratelimit-telemetry.js';

export { createPolicies, type Policies, type PolicyName } from './policies/create-policies.js';
export { dynamic, type Dynamic, type DynamicOptions, type PolicyOf } from './policies/dynamic.js';
export { all, type All } from './policies/all.js';
export type { OnError, PolicyOptions } from './policies/policy-options.js';
export type { RateLimitPolicy, StaticPolicy } from './policies/policy.js';
export type { Limit } from './algorithms/algorithms.js';
export { concurrency, type Concurrency, type ConcurrencyOptions } from './algorithms/concurrency/concurrency.js';
export { fixedWindow, type FixedWindow, type FixedWindowOptions } from './algorithms/fixed-window/fixed-window.js';
export { gcra, type Gcra, type GcraOptions } from './algorithms/gcra/gcra.js';
export { slidingLog, type SlidingLog, type SlidingLogOptions } from './algorithms/sliding-log/sliding-log.js';
export {
  slidingWindow,
  type SlidingWindow,
  type SlidingWindowOptions,
} from './algorithms/sliding-window/sliding-window.js';
export { tokenBucket, type TokenBucket, type TokenBucketOptions } from './algorithms/token-bucket/token-bucket.js';

export { RateLimit, SkipRateLimit, type RateLimitDecoratorOptions } from './decorators/rate-limit.decorator.js';
export { LimitCalls, type LimitCallsOptions } from './decorators/limit-calls.decorator.js';
export type { PolicyArgument } from './decorators/inline-policy.js';
export { RateLimitGuard } from './requests/rate-limit.guard.js';
export type { CallOutcome, RefundRule } from './requests/call-end.js';
export { RateLimitGraphQLError } from './requests/transport-errors.js';
export { by, type IpKeyOptions, type MaybeKey, type RequestKey } from './requests/by.js';
export { ipIn, userIn } from './requests/matches.js';
export type { GraphQLOperation, RateLimitContext, RequestMatch, RequestTransport } from './requests/context.js';
export type { AnonymousOptions, AnonymousRule } from './requests/anonymous.js';
export type { RateLimitHeaderOptions } from './requests/answer-headers.js';
export type { GlobalPolicy } from './requests/global-policies.js';
export type { RequestCost } from './requests/declared-limits.js';

export { provideNoopRateLimit } from './noop/noop-ratelimit.service.js';

export { RedisThrottlerStorage, type ThrottlerRecord } from './throttler/throttler-storage.js';
