import { checkFunction, checkInteger, checkKnownKeys, checkOneOf, OptionsError } from '@redstart/redis-core';
import type { PolicyBook } from '../policies/policy-book.js';
import type { RequestKey } from './by.js';
import { requestTransports, type RequestTransport } from './context.js';
import type { RequestCost } from './declared-limits.js';

/** A policy that limits every handler of some transports. */
export interface GlobalPolicy {
  policy: string;
  /** The transports whose calls it limits. @default ['http', 'graphql'] */
  on?: readonly RequestTransport[];
  /** By what calls are counted. @default the module's */
  key?: RequestKey;
  /** Units that a call takes. @default 1 */
  cost?: RequestCost;
}

export type ResolvedGlobalPolicy = Readonly<Required<Omit<GlobalPolicy, 'key'>>> & {
  readonly key: RequestKey | undefined;
};

/** What comes with a request: one HTTP route or GraphQL operation each. Messages come by the thousand over one connection, or from services of one's own. */
const defaultTransports = ['http', 'graphql'] as const;
const largestCost = 2 ** 31;

/** @throws OptionsError · UnknownPolicyError */
export function resolveGlobal(raw: unknown, policies: PolicyBook, option: string): readonly ResolvedGlobalPolicy[] {
  if (!Array.isArray(raw)) {
    throw new OptionsError(option, `expected an array of policy names: ${policies.names.join(', ')}.`);
  }
  const entries: readonly unknown[] = raw;
  return Object.freeze(entries.map((entry, index) => resolve(entry, policies, `${option}[${index}]`)));
}

function resolve(raw: unknown, policies: PolicyBook, where: string): ResolvedGlobalPolicy {
  const entry = typeof raw === 'string' ? { policy: raw } : raw;
  if (!isGlobalPolicy(entry)) {
    throw new OptionsError(
      where,
      `expected the name of a policy, or { policy, on, key, cost }: ${policies.names.join(', ')}.`,
    );
  }
  checkKnownKeys(entry, ['policy', 'on', 'key', 'cost'], where);
  const { policy, on = defaultTransports, key, cost = 1 } = entry;
  policies.checkName(policy);
  return Object.freeze({
    policy,
    on: Object.freeze(on.map((transport, index) => checkOneOf(transport, `${where}.on[${index}]`, requestTransports))),
    key: key === undefined ? undefined : checkFunction(key, `${where}.key`),
    cost: checkStaticCost(cost, `${where}.cost`),
  });
}

function isGlobalPolicy(value: unknown): value is GlobalPolicy {
  return (
    typeof value === 'object' &&
    value !== null &&
    'policy' in value &&
    typeof value.policy === 'string' &&
    (!('on' in value) || value.on === undefined || Array.isArray(value.on))
  );
}

/** A cost that is a number is known at boot; one that a function tells is looked at with each call. */
export function checkStaticCost(cost: RequestCost, option: string): RequestCost {
  return typeof cost === 'function' ? cost : checkInteger(cost, option, 0, largestCost);
}
