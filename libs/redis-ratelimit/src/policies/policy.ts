import { formatDuration, OptionsError } from '@redstart/redis-core';
import { algorithmOf, isLimit, type Limit } from '../algorithms/algorithms.js';
import type { All } from './all.js';
import type { Dynamic } from './dynamic.js';
import type { OnError } from './policy-options.js';

/** One limit, or several that are decided together. */
export type StaticPolicy = Limit | All;

/** What a name stands for. */
export type RateLimitPolicy = StaticPolicy | Dynamic;

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
  /** Another for each policy that was ever compiled: tells one from what its name stood for before. */
  readonly id: number;
  readonly name: string;
  readonly limits: readonly CompiledLimit[];
  /** Whether one of the limits is of calls under way: somebody has to give the slot back. */
  readonly hasSlots: boolean;
  readonly onError: OnError;
  /** 0: none. */
  readonly blockMs: number;
  readonly enforce: boolean;
  readonly exact: boolean;
}

export function isStaticPolicy(value: unknown): value is StaticPolicy {
  return isLimit(value) || isOfKind(value, 'all');
}

export function isPolicy(value: unknown): value is RateLimitPolicy {
  return isStaticPolicy(value) || isOfKind(value, 'dynamic');
}

function isOfKind(value: unknown, kind: string): boolean {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
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

let compiledSoFar = 0;

/** @throws OptionsError when two limits of the policy would share their state */
export function compilePolicy(name: string, policy: StaticPolicy, onError: OnError): CompiledPolicy {
  const limits = policy.kind === 'all' ? policy.limits : [policy];
  const compiled = limits.map((limit) =>
    Object.freeze({
      name: limits.length === 1 ? name : `${name}/${suffixOf(limit, limits)}`,
      part: `${name}:${algorithmOf(limit).fingerprint(limit)}`,
      limit,
    }),
  );
  for (const field of ['name', 'part'] as const) {
    if (new Set(compiled.map((limit) => limit[field])).size < compiled.length) {
      throw new OptionsError(
        `policies.${name}`,
        'has two limits of one kind over the same time: they would share a count. The smaller one is enough.',
      );
    }
  }
  return Object.freeze({
    ...policy.policy,
    id: ++compiledSoFar,
    name,
    limits: Object.freeze(compiled),
    hasSlots: hasSlots(policy),
    onError: policy.policy.onError ?? onError,
  });
}

/** Whether a limit of the policy is one of calls under way. */
export function hasSlots(policy: StaticPolicy): boolean {
  return policy.kind === 'all'
    ? policy.limits.some(({ kind }) => kind === 'concurrency')
    : policy.kind === 'concurrency';
}

/** Tells the limits of a policy apart in header fields: by their windows, those over the same time by their kind as well. */
function suffixOf(limit: Limit, limits: readonly Limit[]): string {
  if (limit.kind === 'concurrency') return 'concurrent';
  const window = formatDuration(limit.windowMs);
  const sameTime = limits.filter(({ kind, windowMs }) => kind !== 'concurrency' && windowMs === limit.windowMs);
  return sameTime.length === 1 ? window : `${window}-${algorithmOf(limit).id}`;
}
