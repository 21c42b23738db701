import {
  checkInteger,
  OptionsError,
  RedisUnavailableError,
  type Key,
  type RedisConnection,
} from '@redstart/redis-core';
import type { Charge } from '../algorithms/algorithm.js';
import type { RateLimitReceipt } from '../decision.js';
import { foreignKey } from './check-receipt.js';
import { callOf } from '../deciding/call-of.js';
import type { DenialCache } from '../denials/denial-cache.js';
import { limitKeys } from '../keys.js';
import type { LocalLimiter } from '../local/local-limiter.js';
import type { CompiledPolicy } from '../policies/policy.js';
import { withKey } from '../policies/usable-input.js';
import { runAmend, type Amendment, type LimitKey } from '../scripts/amend.js';

/**
 * Corrects what is counted for a subject. Unlike a decision a correction needs Redis: while that is away, it fails.
 */
export class Amender {
  /** Receipts that have been used. */
  readonly #refunded = new WeakSet<RateLimitReceipt>();

  constructor(
    private readonly connection: RedisConnection,
    private readonly budgetMs: number,
    private readonly local: LocalLimiter,
    private readonly denials: DenialCache,
  ) {}

  /** @returns whether anything was given back */
  async refund(policy: CompiledPolicy, receipt: RateLimitReceipt): Promise<boolean> {
    const { cost, atUs } = receipt;
    const { state } = this.#keys(policy, receipt.key);
    const found = receipt.charges.flatMap(({ key, part, mark }) => {
      // A limit that the policy does not have any more counts nothing.
      const compiled = policy.limits.find((limit) => limit.part === part);
      if (compiled === undefined) return [];
      if (key !== state(compiled)) throw foreignKey(policy.name);
      return [{ key, limit: compiled.limit, charge: { cost, mark, atUs } }];
    });
    if (found.length === 0 || this.#refunded.has(receipt)) return false;
    this.#refunded.add(receipt);
    try {
      return receipt.countedBy === 'local' ? this.local.give(found) : await this.#give(found);
    } catch (error) {
      // What has surely not been given back may be asked for again.
      if (!(error instanceof RedisUnavailableError) || error.outcome === 'not-executed') this.#refunded.delete(receipt);
      throw error;
    }
  }

  async #give(found: readonly (LimitKey & { readonly charge: Charge })[]): Promise<boolean> {
    const changes = await this.#amend('refund', found, { verb: 'give', charges: found.map(({ charge }) => charge) });
    const anything = changes.some((change) => change < 0);
    if (anything) await this.denials.forget(keysOf(found));
    return anything;
  }

  async penalize(policy: CompiledPolicy, subject: Key, cost: number): Promise<void> {
    const limits = this.#rates(policy, subject, 'penalize');
    const changes = await this.#amend('penalize', limits, { verb: 'penalize', units: cost });
    // What is remembered says more than is left, and when it ends.
    if (changes.some((change) => change > 0)) await this.denials.forget(keysOf(limits));
  }

  async set(policy: CompiledPolicy, subject: Key, used: number): Promise<void> {
    const most = Math.min(...this.#rates(policy, subject, 'set').map(({ limit }) => limit.limit));
    // A block ends everywhere, and slots stay with their holders.
    const limits = this.#limits(policy, subject);
    await this.#amend('set', limits, { verb: 'set', units: checkInteger(used, 'used', 0, most) });
    for (const limit of limits) this.local.set(limit, used);
    await this.denials.forget(keysOf(limits));
  }

  async block(policy: CompiledPolicy, subject: Key, ms: number): Promise<void> {
    const limits = this.#limits(policy, subject);
    await this.#amend('block', limits, { verb: 'block', ms });
    for (const limit of limits) this.local.block(limit, ms);
    // A shorter block than the one before ends earlier than is remembered.
    await this.denials.forget(keysOf(limits));
  }

  /** @returns whether there was anything */
  async reset(policy: CompiledPolicy, subject: Key): Promise<boolean> {
    const keys = keysOf(this.#limits(policy, subject));
    for (const key of keys) this.local.forget(key);
    const deleted = await this.connection.call(callOf('reset', this.budgetMs), (client) => client.unlink(...keys));
    await this.denials.forget(keys);
    return deleted > 0;
  }

  #amend(operation: string, limits: readonly LimitKey[], amendment: Amendment): Promise<readonly number[]> {
    return runAmend(this.connection, callOf(operation, this.budgetMs), limits, amendment);
  }

  #keys(policy: CompiledPolicy, subject: Key) {
    return withKey(policy.name, () => limitKeys(this.connection.keys, subject));
  }

  #limits(policy: CompiledPolicy, subject: Key): LimitKey[] {
    const { state } = this.#keys(policy, subject);
    return policy.limits.map((compiled) => ({ key: state(compiled), limit: compiled.limit }));
  }

  /** The limits that count units. */
  #rates(policy: CompiledPolicy, subject: Key, operation: string): LimitKey[] {
    const limits = this.#limits(policy, subject).filter(({ limit }) => limit.kind !== 'concurrency');
    if (limits.length > 0) return limits;
    throw new OptionsError(
      `${operation}("${policy.name}")`,
      'has a concurrency limit alone, and that counts no units.',
    );
  }
}

function keysOf(limits: readonly LimitKey[]): string[] {
  return limits.map(({ key }) => key);
}
