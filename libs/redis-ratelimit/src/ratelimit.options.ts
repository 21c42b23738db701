import {
  checkFunction,
  checkInteger,
  checkKnownKeys,
  durationMs,
  OptionsError,
  type Clock,
  type Duration,
} from '@redstart/redis-core';
import { checkAnonymous, type AnonymousRule } from './requests/anonymous.js';
import { resolveHeaders, type RateLimitHeaderOptions, type ResolvedHeaders } from './requests/answer-headers.js';
import { by, type RequestKey } from './requests/by.js';
import type { RequestMatch } from './requests/context.js';
import { resolveGlobal, type GlobalPolicy, type ResolvedGlobalPolicy } from './requests/global-policies.js';
import { createPolicies, type Policies } from './policies/create-policies.js';
import { checkOnError, type OnError } from './policies/policy-options.js';
import { PolicyBook } from './policies/policy-book.js';

/** Options of `RedisRateLimitModule.forRoot`. */
export interface RateLimitOptions {
  /** The limits by name; see {@link createPolicies}. @default none, for where only `RedisThrottlerStorage` or limits written at decorators are used */
  policies?: Policies;
  /** Policies that limit every handler of a transport, unless `@SkipRateLimit()` says otherwise. A name alone: HTTP routes and GraphQL operations. @default [] */
  global?: readonly (string | GlobalPolicy)[];
  /** By what calls are counted where the decorator does not say. @default by.any(by.user(), by.ip()) */
  key?: RequestKey;
  /** What happens to calls without that identity. @default 'refuse': with 403 */
  anonymous?: AnonymousRule;
  /** Calls that are let through and not counted: those that one of these matches. @default [] */
  allow?: readonly RequestMatch[];
  /** Calls that are refused with 403, whether their handler has limits or not, and even if `allow` matches them. @default [] */
  deny?: readonly RequestMatch[];
  /** Whether to leave a call uncounted: like an entry of `allow`. */
  skip?: RequestMatch;
  /** How long a decision may take before `onError` decides. @default '100ms' */
  budget?: Duration;
  /** What a policy does while Redis is away, unless it says so itself. @default 'local' */
  onError?: OnError;
  /** How many keys the local limiter remembers at most. @default 10_000 */
  localKeys?: number;
  /**
   * How many denied calls this process remembers, to deny them without asking Redis until they may pass; 0 for none.
   * @default 10_000
   */
  deniedKeys?: number;
  /** Which headers answers carry. `true`: `RateLimit` and `RateLimit-Policy`. `Retry-After` is sent with every denial. @default true */
  headers?: boolean | RateLimitHeaderOptions;
}

/** Complete, checked, frozen. */
export interface ResolvedRateLimitOptions {
  readonly policies: PolicyBook;
  readonly global: readonly ResolvedGlobalPolicy[];
  readonly key: RequestKey;
  readonly anonymous: AnonymousRule;
  readonly allow: readonly RequestMatch[];
  readonly deny: readonly RequestMatch[];
  readonly skip: RequestMatch | undefined;
  readonly budgetMs: number;
  readonly onError: OnError;
  readonly localKeys: number;
  readonly deniedKeys: number;
  /** Whether errors carry the `RateLimit` fields. */
  readonly headers: boolean;
  readonly answers: ResolvedHeaders;
}

const defaults = {
  policies: {},
  global: [],
  key: by.any(by.user(), by.ip()),
  anonymous: 'refuse',
  allow: [],
  deny: [],
  budget: '100ms',
  onError: 'local',
  localKeys: 10_000,
  deniedKeys: 10_000,
  headers: true,
} as const satisfies Omit<Required<RateLimitOptions>, 'skip'>;

/** The key function of a module that names none. */
export const defaultKey: RequestKey = defaults.key;

/** The one place where raw options become {@link ResolvedRateLimitOptions}. @throws OptionsError · UnknownPolicyError for `global` */
export function resolveRateLimitOptions(raw: RateLimitOptions, name: string, clock: Clock): ResolvedRateLimitOptions {
  const where = `RedisRateLimitModule "${name}"`;
  checkKnownKeys(raw, ['skip', ...Object.keys(defaults)], where);
  const answers = resolveHeaders(raw.headers ?? defaults.headers, `${where}.headers`);
  const onError = checkOnError(raw.onError, where) ?? defaults.onError;
  const policies = new PolicyBook(createPolicies(raw.policies ?? defaults.policies), onError, clock);
  return Object.freeze({
    policies,
    global: resolveGlobal(raw.global ?? defaults.global, policies, `${where}.global`),
    key: checkFunction(raw.key ?? defaults.key, `${where}.key`),
    anonymous: knownAnonymous(raw.anonymous ?? defaults.anonymous, policies, `${where}.anonymous`),
    allow: checkMatches(raw.allow ?? defaults.allow, `${where}.allow`),
    deny: checkMatches(raw.deny ?? defaults.deny, `${where}.deny`),
    skip: raw.skip === undefined ? undefined : checkFunction(raw.skip, `${where}.skip`),
    budgetMs: durationMs(raw.budget ?? defaults.budget, `${where}.budget`),
    onError,
    localKeys: checkInteger(raw.localKeys ?? defaults.localKeys, `${where}.localKeys`, 1, 10_000_000),
    deniedKeys: checkInteger(raw.deniedKeys ?? defaults.deniedKeys, `${where}.deniedKeys`, 0, 10_000_000),
    headers: answers.standard,
    answers,
  });
}

function knownAnonymous(raw: AnonymousRule, policies: PolicyBook, option: string): AnonymousRule {
  const rule = checkAnonymous(raw, option) ?? defaults.anonymous;
  if (rule !== 'refuse' && rule.policy !== undefined) policies.checkName(rule.policy);
  return rule;
}

function checkMatches(rules: unknown, option: string): readonly RequestMatch[] {
  if (!Array.isArray(rules)) throw new OptionsError(option, "expected an array of rules such as ipIn('10.0.0.0/8').");
  for (const [index, rule] of rules.entries()) checkFunction<unknown>(rule, `${option}[${index}]`);
  return Object.freeze([...(rules as RequestMatch[])]);
}
