import { formatDuration, OptionsError } from '@redstart/redis-core';
import { algorithms } from '../scripts/algorithms.js';
import type { All } from './all.js';
import type { OnError } from './on-error.js';
import type { SlidingWindow } from './sliding-window.js';

/** One limit. Each kind has its algorithm in `scripts/`. */
export type Limit = SlidingWindow;

/** What a name stands for: one limit, or several that are decided together. */
export type RateLimitPolicy = Limit | All;

/** A limit in its policy. */
export interface CompiledLimit {
  /** What the header fields show: `api`, or `login/1m` when the policy has several. */
  readonly name: string;
  /** The last part of its key. */
  readonly part: string;
  readonly limit: Limit;
}

/** A policy under its name: checked and frozen. */
export interface CompiledPolicy {
  readonly name: string;
  readonly limits: readonly CompiledLimit[];
  readonly onError: OnError;
}

export function isLimit(value: unknown): value is Limit {
  return (
    typeof value === 'object' && value !== null && 'kind' in value && Object.hasOwn(algorithms, String(value.kind))
  );
}

export function isPolicy(value: unknown): value is RateLimitPolicy {
  return isLimit(value) || (typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'all');
}

/** Names stand in keys and in quoted strings of header fields, so they hold nothing that either would have to escape. */
const allowedName = /^[A-Za-z0-9_.\-/]{1,128}$/;

export function checkPolicyName(name: string, option: string): string {
  if (allowedName.test(name)) return name;
  throw new OptionsError(
    option,
    `${JSON.stringify(name.slice(0, 60))} is no name of a policy. Use 1 to 128 letters, digits, _ . - or /.`,
  );
}

/** @throws OptionsError when two limits of the policy would share their state */
export function compilePolicy(name: string, policy: RateLimitPolicy, onError: OnError): CompiledPolicy {
  const limits = policy.kind === 'all' ? policy.limits : [policy];
  const compiled = limits.map((limit) =>
    Object.freeze({
      name: limits.length === 1 ? name : `${name}/${formatDuration(limit.windowMs)}`,
      part: `${name}:${algorithms[limit.kind].fingerprint(limit)}`,
      limit,
    }),
  );
  if (new Set(compiled.map((limit) => limit.name)).size < compiled.length) {
    throw new OptionsError(`policies.${name}`, 'has two limits over the same window: the smaller one is enough.');
  }
  return Object.freeze({ name, limits: Object.freeze(compiled), onError: policy.onError ?? onError });
}
