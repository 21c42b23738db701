import { checkBoolean, checkOneOf, durationMs, type Duration } from '@redstart/redis-core';

/**
 * What a policy does while Redis does not answer.
 *
 * - `local`: this process counts by itself, with the same algorithm and the same limit, in bounded memory
 * - `open`: every call is allowed
 * - `closed`: every call fails with `RedisUnavailableError`, over HTTP 503
 */
export type OnError = 'local' | 'open' | 'closed';

/** What a policy takes beside its limits; of `all(…)` they stand at the end. */
export interface PolicyOptions {
  /** What happens while Redis is away. @default that of the module */
  onError?: OnError;
  /**
   * How long a subject is refused once it has exceeded the limit. It starts at the first denial, and further calls don't prolong it.
   * @default no longer than the limit itself says
   */
  block?: Duration;
  /** `false`: calls are counted and the decision says what it would have been, but nothing is denied. @default true */
  enforce?: boolean;
  /**
   * Asks again, within the budget, when the connection breaks before the answer, and is charged once all the same: the script remembers the answer of each call for a
   * minute. Costs one small key per call, a denied one included. A reply that is lost while the connection stays is waited for until the budget ends.
   * @default false: a call whose reply is lost is decided by `onError`, and its charge, if it was made, stays
   */
  exact?: boolean;
}

/** Checked. What is `undefined` is the module's to say. */
export interface ResolvedPolicyOptions {
  readonly onError: OnError | undefined;
  /** 0: no block. */
  readonly blockMs: number;
  readonly enforce: boolean;
  readonly exact: boolean;
}

export const policyOptionNames = ['onError', 'block', 'enforce', 'exact'] as const;

/** @throws OptionsError */
export function resolvePolicyOptions(raw: PolicyOptions, where: string): ResolvedPolicyOptions {
  return Object.freeze({
    onError: checkOnError(raw.onError, where),
    blockMs: raw.block === undefined ? 0 : durationMs(raw.block, `${where}.block`),
    enforce: checkBoolean(raw.enforce ?? true, `${where}.enforce`),
    exact: checkBoolean(raw.exact ?? false, `${where}.exact`),
  });
}

export function checkOnError(value: unknown, where: string): OnError | undefined {
  return value === undefined ? undefined : checkOneOf(value, `${where}.onError`, ['local', 'open', 'closed']);
}
