import { UseGuards, type Type } from '@nestjs/common';
import { checkFunction, checkKnownKeys, checkText, injectRuntime, OptionsError } from '@redstart/redis-core';
import { checkAnonymous, type AnonymousRule } from '../requests/anonymous.js';
import type { RequestKey } from '../requests/by.js';
import type { RefundRule } from '../requests/call-end.js';
import type { RequestMatch } from '../requests/context.js';
import { declareLimit, declareSkip, type DeclaredLimit, type RequestCost } from '../requests/declared-limits.js';
import { checkStaticCost } from '../requests/global-policies.js';
import { RateLimitGuard } from '../requests/rate-limit.guard.js';
import { checkPolicyName } from '../policies/policy.js';
import { getRateLimitToken } from '../ratelimit.tokens.js';
import { policyReference, type PolicyArgument } from './inline-policy.js';

export interface RateLimitDecoratorOptions {
  /** By what calls are counted. @default the module's: by.any(by.user(), by.ip()) */
  key?: RequestKey;
  /** Units that a call takes, an integer 0..2^31, or how to read them from the call. @default 1 */
  cost?: RequestCost;
  /** Calls that this limit leaves out: they are not counted. */
  skip?: RequestMatch;
  /** What happens to calls that lack what they are counted by. @default the module's: they are refused with 403 */
  anonymous?: AnonymousRule;
  /** Whether to give the charge back when the call has ended, by how it did. @default never */
  refundOn?: RefundRule;
  /** The name of the RedisRateLimitModule that holds the policy. @default 'default' */
  limiter?: string;
}

/**
 * Limits handlers: one method, or all of a controller, resolver or gateway.
 *
 * HTTP routes, GraphQL resolvers, WebSocket and microservice messages. A call counts once against every limit of its handler, whether it comes from
 * the class, the method or `global`; what counts is the request, the operation (however many of its resolvers run, and how often) or the message. Limits with one key are
 * decided in one script, all or none; a limit at the method replaces the one of the same policy at the class, and one at a class that of its base
 * class. A decorator above that puts a function of its own in place of the method has to copy its metadata, or to stand below. A denied call gets its answer before
 * interceptors, pipes and the handler run. Put it above the guard that finds the user: guards run from the bottom up.
 *
 * @param policy a name of the module's policies, or a limit of its own: `{ limit: 10, window: '1m' }`, counted under the name of its place
 * @throws at boot: OptionsError on a method that is no handler or has lost its limit to another decorator, UnknownPolicyError, and Nest's own error naming the class when
 *   RedisRateLimitModule is missing. In a call: RateLimitExceededError · RateLimitKeyMissingError · RateLimitInputError · RequestDeniedError; over GraphQL a
 *   RateLimitGraphQLError, over WebSockets a WsException and over microservices an RpcException, with that as the `cause`
 * @example
 * @RateLimit('login', { key: by.ip() })
 * @Post('login')
 * login(@Body() credentials: Credentials) { … }
 */
export function RateLimit(
  policy: PolicyArgument,
  options: RateLimitDecoratorOptions = {},
): ClassDecorator & MethodDecorator {
  const decorator = '@RateLimit';
  checkKnownKeys(options, ['key', 'cost', 'skip', 'anonymous', 'refundOn', 'limiter'], decorator);
  const { key, skip, refundOn, limiter = 'default' } = options;
  if (key !== undefined) checkFunction(key, `${decorator}.key`);
  if (skip !== undefined) checkFunction(skip, `${decorator}.skip`);
  if (refundOn !== undefined) checkFunction(refundOn, `${decorator}.refundOn`);
  checkText(limiter, `${decorator}.limiter`);
  const cost = checkStaticCost(options.cost ?? 1, `${decorator}.cost`);
  const anonymous = checkAnonymous(options.anonymous, `${decorator}.anonymous`);

  return (target: object, method?: string | symbol, descriptor?: PropertyDescriptor) => {
    const { owner, name, place } = placeOf(decorator, target, method, descriptor);
    const limit: DeclaredLimit = {
      policy: policyReference(policy, name, decorator),
      limiter,
      key,
      cost,
      skip,
      anonymous,
      refundOn,
    };
    declareLimit(place, limit);
    // Not needed by the guard: it makes a forgotten module an error at boot that names the controller.
    const token = getRateLimitToken(limiter);
    injectRuntime(owner.prototype as object, token);
    if (method === undefined || descriptor === undefined) UseGuards(RateLimitGuard)(owner);
    else UseGuards(RateLimitGuard)(target, method, descriptor);
  };
}

/**
 * Leaves out limits that are declared further out: at a method those of its class and the `global` ones, at a class those of
 * its base classes and the `global` ones.
 *
 * @param policies the policies to leave out. @default all
 * @example  @SkipRateLimit() @Get('health') health() { … }
 */
export function SkipRateLimit(...policies: string[]): ClassDecorator & MethodDecorator {
  const decorator = '@SkipRateLimit';
  for (const name of policies) checkPolicyName(name, decorator);
  return (target: object, method?: string | symbol, descriptor?: PropertyDescriptor) => {
    declareSkip(placeOf(decorator, target, method, descriptor).place, policies);
  };
}

function placeOf(decorator: string, target: object, method?: string | symbol, descriptor?: PropertyDescriptor) {
  if (method === undefined) {
    if (!isClass(target)) throw new OptionsError(decorator, 'stands on a class or a method.');
    return { owner: target, name: target.name, place: { decorated: target } };
  }
  const value: unknown = descriptor?.value;
  const owner = target.constructor;
  if (typeof target === 'function' || typeof value !== 'function' || !isClass(owner)) {
    throw new OptionsError(`${decorator} on ${String(method)}`, 'stands on a class or a method of its instances.');
  }
  const place = { decorated: value, method: { prototype: target, name: method } };
  return { owner, name: `${owner.name}.${String(method)}`, place };
}

function isClass(value: unknown): value is Type {
  return typeof value === 'function';
}
