import {
  checkKnownKeys,
  durationMs,
  OptionsError,
  type Duration,
  type Key,
  type RedisConnection,
} from '@redstart/redis-core';
import { Amender } from './amending/amender.js';
import { checkReceipt } from './amending/check-receipt.js';
import { Admissions, type Admission } from './deciding/admissions.js';
import { Charges, refuseSlots, rejected, type ReferencedCheck } from './deciding/charges.js';
import type { SubjectCharge } from './deciding/decided.js';
import { Decider } from './deciding/decider.js';
import { JointDecision, type Refund } from './deciding/joint-decision.js';
import type { RateLimitDecision, RateLimitReceipt } from './decision.js';
import { DenialCache } from './denials/denial-cache.js';
import { createPolicies } from './policies/create-policies.js';
import type { RateLimitPolicy } from './policies/policy.js';
import { Refreshes } from './policies/refreshes.js';
import { checkCost } from './policies/usable-input.js';
import type { ResolvedRateLimitOptions } from './ratelimit.options.js';
import type { Slot } from './slots/slot.js';
import { SlotKeeper } from './slots/slot-keeper.js';
import { StraySlots } from './slots/stray-slots.js';
import { RateLimitTelemetry, type PolicyStats } from './telemetry/ratelimit-telemetry.js';
import { LimitWaits } from './waiting/limit-waits.js';

export interface ConsumeOptions {
  /** Units to take, an integer from 0 to 2^31; 0 looks without taking. @default 1 */
  cost?: number;
}

export interface WaitOptions extends ConsumeOptions {
  /** How long to wait at most. @default '10s' for `wait`, 0 for `acquire` and `run` */
  maxWait?: Duration;
  /** Ends the wait; its reason is what is thrown. */
  signal?: AbortSignal;
}

/** One entry of {@link RateLimitService.check}. */
export interface RateLimitCheck<Name extends string = string> extends ConsumeOptions {
  policy: Name;
  key: Key;
}

const noOptions: ConsumeOptions = Object.freeze({});

/**
 * Rate limits, exact over all processes that share the Redis: what the decorators and the guard call too.
 *
 * The type parameter holds the names of the policies, where you want the compiler to know them:
 * `constructor(limiter: RateLimitService<PolicyName<typeof policies>>)`.
 */
export class RateLimitService<Name extends string = string> {
  /** @internal */
  readonly options: ResolvedRateLimitOptions;
  /** @internal For the throttler storage, which counts on the same one. */
  readonly connection: RedisConnection;
  readonly #admissions: Admissions;
  readonly #amender: Amender;
  readonly #charges: Charges;
  readonly #refreshes: Refreshes;
  readonly #telemetry: RateLimitTelemetry;
  readonly #waits: LimitWaits;

  constructor(connection: RedisConnection, options: ResolvedRateLimitOptions, name = 'default') {
    this.options = options;
    this.connection = connection;
    const { budgetMs, deniedKeys, policies } = options;
    const denials = new DenialCache(connection, { budgetMs, maxKeys: deniedKeys });
    const strays = new StraySlots(connection, budgetMs);
    const decider = new Decider(connection, options, denials, strays);
    const keeper = new SlotKeeper(connection, decider.local, budgetMs, strays);
    const amender = new Amender(connection, budgetMs, decider.local, denials);
    const refund: Refund = (policy, receipt) => amender.refund(policy, receipt);
    const joint = new JointDecision(connection, decider, keeper, refund, budgetMs);
    const waits = new LimitWaits(connection, refund);
    this.#amender = amender;
    this.#waits = waits;
    this.#telemetry = new RateLimitTelemetry({ module: name, connection: connection.name });
    this.#admissions = new Admissions(joint, keeper, this.#telemetry, (charges) => {
      waits.wake(charges);
    });
    this.#refreshes = new Refreshes(connection, policies, budgetMs);
    this.#charges = new Charges(policies, this.#refreshes);
  }

  /**
   * Counts one call against `policy` for `key` and says whether it may go on.
   *
   * All limits of the policy are decided in one script: every one is charged, or none. A denial writes nothing.
   *
   * @param key whom it is counted for. The decorators' `by.user()` counts for `['user', id]`.
   * @returns the decision; times are milliseconds
   * @throws UnknownPolicyError · RateLimitInputError for a wrong key or cost · OptionsError for a policy with a concurrency limit · RedisUnavailableError under `onError: 'closed'`
   * @example  const { allowed, retryAfterMs } = await limiter.consume('api', ['user', user.id]);
   * @see      one EVALSHA; calls of one turn of the event loop share it
   */
  consume(policy: Name, key: Key, options: ConsumeOptions = noOptions): Promise<RateLimitDecision> {
    try {
      if (options !== noOptions) checkKnownKeys(options, ['cost'], 'consume');
      const charge = this.#charges.of(policy, key, options);
      // Each await is a trip through the queue of microtasks: only a dynamic policy needs one here.
      if (charge instanceof Promise) return charge.then((known) => this.#consume(known));
      const decided = this.#consume(charge);
      return decided instanceof Promise ? decided : Promise.resolve(decided);
    } catch (error) {
      return rejected(error);
    }
  }

  #consume(charge: SubjectCharge): RateLimitDecision | Promise<RateLimitDecision> {
    refuseSlots(charge, 'consume');
    return this.#admissions.take(charge);
  }

  /**
   * Says what {@link consume} would say, and counts nothing.
   *
   * @throws UnknownPolicyError · RateLimitInputError for a wrong key or cost · RedisUnavailableError under `onError: 'closed'`
   * @see    one EVALSHA that only reads
   */
  async peek(policy: Name, key: Key, options: ConsumeOptions = {}): Promise<RateLimitDecision> {
    checkKnownKeys(options, ['cost'], 'peek');
    return this.#admissions.look(await this.#charges.of(policy, key, options));
  }

  /**
   * Counts one call against several policies: all of them are charged, or none.
   *
   * On a single server one script decides, whatever the keys. On a Cluster those that live in different slots are decided one after the other, in the order given; when
   * one denies, what the ones before it have charged is given back, and those behind it are not asked. So put the most specific first.
   *
   * @returns the decisions so far: the call may go on when all of them allow it
   * @throws like {@link consume} · OptionsError when a policy stands there twice for one key
   */
  async check(checks: readonly RateLimitCheck<Name>[]): Promise<readonly RateLimitDecision[]> {
    for (const [index, one] of checks.entries()) checkKnownKeys(one, ['policy', 'key', 'cost'], `check[${index}]`);
    if (checks.length === 0) return [];
    const charges = await this.#charges.ofAll(
      checks.map(({ policy, key, cost = 1 }) => ({ policy: { name: policy }, key, cost })),
    );
    for (const charge of charges) refuseSlots(charge, 'check');
    const { decisions } = await this.#admissions.admit(charges);
    return decisions.filter((decision) => decision !== undefined);
  }

  /**
   * Gives back what a decision has charged, as far as it is still counted: never into a later window, never above the limit.
   *
   * @returns whether anything was given back. A receipt object works once; a copy of it that was stored or sent is yours to use once.
   * @throws OptionsError for what is no receipt, or one that names the key of another subject · UnknownPolicyError · RedisUnavailableError: with `outcome: 'not-executed'` it may be tried again
   * @see    one EVALSHA, one PUBLISH
   */
  async refund(receipt: RateLimitReceipt): Promise<boolean> {
    checkReceipt(receipt);
    const policy = await this.options.policies.policyFor(receipt.policy, receipt.key);
    const anything = await this.#amender.refund(policy, receipt);
    if (anything) this.#telemetry.refunded(policy.name);
    return anything;
  }

  /**
   * Takes `cost` units without asking whether there are so many: at most all that is left. For what turned out dearer than it was charged; to keep somebody out,
   * {@link block}.
   *
   * @throws UnknownPolicyError · RateLimitInputError for a wrong key or cost · OptionsError for a policy with a concurrency limit alone · RedisUnavailableError
   * @see    one EVALSHA
   */
  async penalize(policy: Name, key: Key, options: ConsumeOptions = {}): Promise<void> {
    checkKnownKeys(options, ['cost'], 'penalize');
    await this.#amender.penalize(
      await this.options.policies.policyFor(policy, key),
      key,
      checkCost(policy, options.cost ?? 1),
    );
  }

  /**
   * Denies everything to `key` under `policy` for so long, whatever is left. A later call replaces an earlier one; {@link reset} ends it.
   *
   * @throws UnknownPolicyError · OptionsError for a wrong duration · RedisUnavailableError
   * @see    one EVALSHA
   */
  async block(policy: Name, key: Key, duration: Duration): Promise<void> {
    await this.#amender.block(await this.options.policies.policyFor(policy, key), key, durationMs(duration, 'block'));
  }

  /**
   * Counts exactly `used` units, as if they had been taken now, in every limit of the policy: to carry over counts from elsewhere. Ends a {@link block}; slots stay with their holders.
   *
   * @param used an integer from 0 to the smallest limit of the policy
   * @throws UnknownPolicyError · OptionsError for a wrong number, or a policy with a concurrency limit alone · RedisUnavailableError
   * @see    one EVALSHA
   */
  async set(policy: Name, key: Key, used: number): Promise<void> {
    await this.#amender.set(await this.options.policies.policyFor(policy, key), key, used);
  }

  /**
   * Forgets what was counted against `policy` for `key`, a block included. The local limiters of other processes keep theirs.
   *
   * @returns whether there was anything
   * @throws UnknownPolicyError · RedisUnavailableError
   * @see    one UNLINK
   */
  async reset(policy: Name, key: Key): Promise<boolean> {
    return this.#amender.reset(await this.options.policies.policyFor(policy, key), key);
  }

  /**
   * Puts other limits in the place of a policy, in this process, from the next call on. What has been counted under it stays counted, as far as the new limits are of
   * the same kind and over the same time. Limits that change in all processes at once are those of a `dynamic` policy: see {@link refresh}.
   *
   * @throws UnknownPolicyError · OptionsError for what is no policy
   */
  redefine(policy: Name, limits: RateLimitPolicy): void {
    createPolicies({ [policy]: limits });
    this.options.policies.redefine(policy, limits);
  }

  /**
   * Makes a `dynamic` policy ask for its limits again at the next call: in this process from now on, in the others as soon as they hear of it, which they may have when the promise
   * resolves. One that can't be told, because Redis is away, asks again when it is back.
   *
   * @param key for whom. @default everybody
   * @throws UnknownPolicyError
   * @see    one PUBLISH
   */
  refresh(policy: Name, key?: Key): Promise<void> {
    return this.#refreshes.refresh(policy, key);
  }

  /** What has been decided so far in this process, by policy. A policy that was never asked is not there. */
  stats(): Record<string, PolicyStats> {
    return this.#telemetry.stats();
  }

  /**
   * Takes a slot of a policy with a concurrency limit, and charges its other limits, if it has some. The slot is kept until it is released, however long that takes;
   * when this process dies it comes back as its lease lapses.
   *
   * @param options.cost units of the other limits; it takes one slot, whatever it costs
   * @param options.maxWait how long to wait for a free slot; in this process first come, first served
   * @throws RateLimitExceededError · UnknownPolicyError · OptionsError for a policy without a concurrency limit · RedisUnavailableError under `onError: 'closed'`
   * @example
   * await using slot = await limiter.acquire('export', ['user', user.id]);
   * await report(slot.signal);
   * @see      one EVALSHA, ZREM to release, one EVALSHA a third of a lease for all slots of the process
   */
  async acquire(policy: Name, key: Key, options: WaitOptions = {}): Promise<Slot> {
    const charge = await this.#charges.of(policy, key, options);
    if (charge.policy.hasSlots) return this.#waits.forSlot(this.#admissions, charge, 'acquire', options);
    throw new OptionsError(
      `acquire("${policy}")`,
      'takes a policy with a concurrency limit. For others use consume or wait.',
    );
  }

  /**
   * {@link consume} that waits until it is allowed: in this process first come, first served, and with one question to Redis at a time. A wait that is called off ends at once, and what
   * was charged meanwhile is given back. With `maxWait: 0` it does not stand in line.
   *
   * @throws RateLimitExceededError as soon as it is known that it can't be within `maxWait` · the signal's reason · like {@link consume}
   */
  async wait(policy: Name, key: Key, options: WaitOptions = {}): Promise<RateLimitDecision> {
    const charge = await this.#charges.of(policy, key, options);
    refuseSlots(charge, 'wait');
    return this.#waits.forAllowed(this.#admissions, charge, 'wait', { maxWait: '10s', ...options });
  }

  /**
   * Runs `fn` when the policy admits it: after {@link wait}, or holding a slot where the policy has a concurrency limit.
   *
   * @param fn gets a signal that aborts when the slot is lost, or with `options.signal`
   * @throws RateLimitExceededError · what `fn` throws · like {@link consume}
   */
  async run<T>(
    policy: Name,
    key: Key,
    fn: (signal: AbortSignal) => T | Promise<T>,
    options: WaitOptions = {},
  ): Promise<T> {
    const bounds = { maxWait: 0, ...options };
    const own = options.signal ?? new AbortController().signal;
    if (!(await this.options.policies.policyFor(policy, key)).hasSlots) {
      await this.wait(policy, key, bounds);
      return fn(own);
    }
    const slot = await this.acquire(policy, key, bounds);
    try {
      return await fn(AbortSignal.any([own, slot.signal]));
    } finally {
      await slot.release();
    }
  }

  /**
   * @internal {@link check} for decorators, whose policy may be their own, and who hold the slots until their call ends. At once when it is remembered.
   *
   * @param checks the widest first, as they are declared
   * @param untilMs when the budget of the call ends, on the clock of this process. @default it begins now
   */
  admit(checks: readonly ReferencedCheck[], untilMs?: number): Admission | Promise<Admission> {
    const charges = this.#charges.ofAll(checks);
    const how = { untilMs, widestFirst: true };
    return charges instanceof Promise
      ? charges.then((known) => this.#admissions.admit(known, how))
      : this.#admissions.admit(charges, how);
  }
}
