import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnownKeys,
  durationMs,
  OptionsError,
  type Clock,
  type Duration,
} from '@redstart/redis-core';
import { by, type RequestKey } from './requests/by.js';
import { createPolicies, type Policies } from './policies/create-policies.js';
import { checkOnError, type OnError } from './policies/policy-options.js';
import { PolicyBook } from './policies/policy-book.js';

/** Options of `RedisRateLimitModule.forRoot`. */
export interface RateLimitOptions {
  /** The limits by name; see {@link createPolicies}. @default none, for where only `RedisThrottlerStorage` or limits written at decorators are used */
  policies?: Policies;
  /** Policies that limit every HTTP route, unless `@SkipRateLimit()` says otherwise. @default [] */
  global?: readonly string[];
  /** By what requests are counted where the decorator does not say. @default by.any(by.user(), by.ip()) */
  key?: RequestKey;
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
  /** Whether answers carry `RateLimit` and `RateLimit-Policy`. `Retry-After` is sent with every 429. @default true */
  headers?: boolean;
}

/** Complete, checked, frozen. */
export interface ResolvedRateLimitOptions {
  readonly policies: PolicyBook;
  readonly global: readonly string[];
  readonly key: RequestKey;
  readonly budgetMs: number;
  readonly onError: OnError;
  readonly localKeys: number;
  readonly deniedKeys: number;
  readonly headers: boolean;
}

const defaults = {
  policies: {},
  global: [],
  key: by.any(by.user(), by.ip()),
  budget: '100ms',
  onError: 'local',
  localKeys: 10_000,
  deniedKeys: 10_000,
  headers: true,
} as const satisfies Required<RateLimitOptions>;

/** The one place where raw options become {@link ResolvedRateLimitOptions}. @throws OptionsError · UnknownPolicyError for `global` */
export function resolveRateLimitOptions(raw: RateLimitOptions, name: string, clock: Clock): ResolvedRateLimitOptions {
  const where = `RedisRateLimitModule "${name}"`;
  checkKnownKeys(raw, Object.keys(defaults), where);
  const onError = checkOnError(raw.onError, where) ?? defaults.onError;
  const policies = new PolicyBook(createPolicies(raw.policies ?? defaults.policies), onError, clock);
  return Object.freeze({
    policies,
    global: checkNames(raw.global ?? defaults.global, policies, `${where}.global`),
    key: checkFunction(raw.key ?? defaults.key, `${where}.key`),
    budgetMs: durationMs(raw.budget ?? defaults.budget, `${where}.budget`),
    onError,
    localKeys: checkInteger(raw.localKeys ?? defaults.localKeys, `${where}.localKeys`, 1, 10_000_000),
    deniedKeys: checkInteger(raw.deniedKeys ?? defaults.deniedKeys, `${where}.deniedKeys`, 0, 10_000_000),
    headers: checkBoolean(raw.headers ?? defaults.headers, `${where}.headers`),
  });
}

function checkNames(names: unknown, policies: PolicyBook, option: string): readonly string[] {
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) {
    throw new OptionsError(option, `expected an array of policy names: ${policies.names.join(', ')}.`);
  }
  for (const name of names) policies.checkName(name);
  return Object.freeze([...names]);
}
