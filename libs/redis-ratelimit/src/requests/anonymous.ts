import { checkFunction, checkKnownKeys, OptionsError, type Key } from '@redstart/redis-core';
import { checkPolicyName } from '../policies/policy.js';
import { isMissing, type RequestKey } from './by.js';
import type { RateLimitContext } from './context.js';

/** How calls without an identity are counted. */
export interface AnonymousOptions {
  /** The policy that limits them instead, e.g. a stricter one. @default the same */
  policy?: string;
  /** By what they are counted. @default all of them together */
  key?: RequestKey;
}

/** `refuse`: with 403. */
export type AnonymousRule = 'refuse' | AnonymousOptions;

/** @throws OptionsError */
export function checkAnonymous(rule: AnonymousRule | undefined, option: string): AnonymousRule | undefined {
  if (rule === undefined || rule === 'refuse') return rule;
  if (typeof rule !== 'object') throw new OptionsError(option, `expected 'refuse' or { policy, key }.`);
  checkKnownKeys(rule, ['policy', 'key'], option);
  if (rule.policy !== undefined) checkPolicyName(rule.policy, `${option}.policy`);
  if (rule.key !== undefined) checkFunction(rule.key, `${option}.key`);
  return Object.freeze({ ...rule });
}

/** The key of a call without an identity, or `undefined` when it is refused. */
export async function anonymousKey(
  rule: AnonymousRule,
  context: RateLimitContext,
): Promise<{ readonly key: Key; readonly policy: string | undefined } | undefined> {
  if (rule === 'refuse') return undefined;
  const { policy, key: keyOf } = rule;
  const key = keyOf === undefined ? 'anonymous' : await keyOf(context);
  return isMissing(key) ? undefined : { key, policy };
}
