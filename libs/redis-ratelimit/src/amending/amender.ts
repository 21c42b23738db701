import { checkInteger, OptionsError, type Key, type RedisConnection } from '@redstart/redis-core';
import type { RateLimitReceipt } from '../decision.js';
import { callOf } from '../deciding/call-of.js';
import type { DenialCache } from '../denials/denial-cache.js';
import { limitKeys } from '../keys.js';
import type { LocalLimiter } from '../local/local-limiter.js';
import type { CompiledPolicy } from '../policies/policy.js';
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
    if (this.#refunded.has(receipt)) return false;
    this.#refunded.add(receipt);
    const { cost, atUs } = receipt;
    const found = receipt.charges.flatMap(({ key, part, mark }) => {
      // A limit that the policy does not have any more counts nothing.
      const compiled = policy.limits.find((limit) => limit.part === part);
      return compiled === undefined ? [] : [{ key, limit: compiled.limit, charge: { cost, mark, atUs } }];
    });
    if (found.length === 0) return false;
    if (receipt.countedBy === 'local') return this.local.give(found);
    const changes = await this.#amend('refund', found, { verb: 'give', charges: found.map(({ charge }) => charge) });
    const anything = changes.some((change) => change < 0);
    if (anything) await this.denials.forget(keysOf(found));
    return anything;
  }

  async penalize(policy: CompiledPolicy, subject: Key, cost: number): Promise<void> {
    await this.#amend('penalize', this.#rates(policy, subject, 'penalize'), { verb: 'penalize', units: cost });
  }

  async set(policy: CompiledPolicy, subject: Key, used: number): Promise<void> {
    const limits = this.#rates(policy, subject, 'set');
    const most = Math.min(...limits.map(({ limit }) => limit.limit));
    await this.#amend('set', limits, { verb: 'set', units: checkInteger(used, 'used', 0, most) });
    await this.denials.forget(keysOf(limits));
  }

  async block(policy: CompiledPolicy, subject: Key, ms: number): Promise<void> {
    const limits = this.#limits(policy, subject);
    await this.#amend('block', limits, { verb: 'block', ms });
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

  #limits(policy: CompiledPolicy, subject: Key): LimitKey[] {
    const { state } = limitKeys(this.connection.keys, subject);
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
