import { checkFunction, checkInteger, checkKnownKeys, durationMs, type Duration, type Key } from '@redstart/redis-core';
import type { RateLimitContext } from '../requests/context.js';
import type { StaticPolicy } from './policy.js';

/** Says which limits hold for a subject: those of its plan, for instance. */
export type PolicyOf = (key: Key, context: RateLimitContext | undefined) => StaticPolicy | Promise<StaticPolicy>;

export interface DynamicOptions {
  /** How long an answer is used before it is asked for again, per key. @default '10s' */
  cache?: Duration;
  /** Of how many keys the answers are kept. @default 10_000 */
  maxKeys?: number;
}

/** A policy whose limits depend on whom it counts; made by {@link dynamic}. */
export interface Dynamic {
  readonly kind: 'dynamic';
  readonly policyOf: PolicyOf;
  readonly cacheMs: number;
  readonly maxKeys: number;
}

/**
 * Limits that depend on the subject: per tenant, per plan, from a database. Asked once per key and `cache`, by one call however many wait; while the answer can't
 * be had, the last one holds. What has been counted stays counted when limits change.
 *
 * @param policyOf gets the key as it is counted, and for a decorated handler its context; the answer must depend on the key alone, since it is kept by the key
 * @throws OptionsError for something that is no function, or an unknown option
 * @example
 * plan: dynamic(async (key) => gcra(await plans.limitsOf(key)), { cache: '30s' })
 */
export function dynamic(policyOf: PolicyOf, options: DynamicOptions = {}): Dynamic {
  checkKnownKeys(options, ['cache', 'maxKeys'], 'dynamic');
  return Object.freeze({
    kind: 'dynamic',
    policyOf: checkFunction(policyOf, 'dynamic'),
    cacheMs: durationMs(options.cache ?? '10s', 'dynamic.cache', { min: 0 }),
    maxKeys: checkInteger(options.maxKeys ?? 10_000, 'dynamic.maxKeys', 1, 10_000_000),
  });
}
