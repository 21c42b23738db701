import { randomUUID } from 'node:crypto';
import {
  checkInteger,
  checkKnownKeys,
  durationMs,
  encodeSubject,
  OptionsError,
  type Duration,
  type Key,
  type RedisConnection,
} from '@redstart/redis-core';
import { Amender } from './amending/amender.js';
import { Decider, type Decided, type SubjectCharge } from './deciding/decider.js';
import { DenialCache } from './denials/denial-cache.js';
import { JointDecision } from './deciding/joint-decision.js';
import type { RateLimitDecision, RateLimitReceipt } from './decision.js';
import type { RateLimitContext } from './requests/context.js';
import { createPolicies } from './policies/create-policies.js';
import type { PolicyReference } from './policies/policy-book.js';
import type { CompiledPolicy, RateLimitPolicy } from './policies/policy.js';
import type { ResolvedRateLimitOptions } from './ratelimit.options.js';
import { HeldSlot, type Slot } from './slots/slot.js';
import { SlotKeeper } from './slots/slot-keeper.js';
import { RateLimitTelemetry, type PolicyStats } from './telemetry/ratelimit-telemetry.js';
import { WaitLines, type Attempt } from './waiting/wait-lines.js';

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

/** The same with a policy that may stand at a decorator. */
export interface ReferencedCheck {
  readonly policy: PolicyReference;
  readonly key: Key;
  readonly cost: number;
  /** What a dynamic policy of a decorated handler may look at. */
  readonly context?: RateLimitContext | undefined;
}

/**
 * What became of a call that has asked for all it needs at once.
 * @internal
 */
export interface Admission {
  readonly decisions: readonly RateLimitDecision[];
  /** The first one that denies; nothing was charged then. */
  readonly denial: RateLimitDecision | undefined;
  /** The slots that the call holds; aborts when one is lost. */
  readonly slot: Slot | undefined;
}

const largestCost = 2 ** 31;
const noOptions: ConsumeOptions = Object.freeze({});
/** Slots come back without notice from other processes: who waits for one looks so often. */
const slotPollMs = 100;

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
  readonly #joint: JointDecision;
  readonly #amender: Amender;
  readonly #keeper: SlotKeeper;
  readonly #lines: WaitLines;
  readonly #telemetry: RateLimitTelemetry;

  constructor(connection: RedisConnection, options: ResolvedRateLimitOptions, name = 'default') {
    this.options = options;
    this.connection = connection;
    const { budgetMs, deniedKeys } = options;
    const denials = new DenialCache(connection, { budgetMs, maxKeys: deniedKeys });
    const decider = new Decider(connection, options, denials);
    this.#amender = new Amender(connection, budgetMs, decider.local, denials);
    this.#keeper = new SlotKeeper(connection, decider.local, budgetMs);
    this.#joint = new JointDecision(connection, decider, this.#keeper, (policy, receipt) =>
      this.#amender.refund(policy, receipt),
    );
    this.#lines = new WaitLines(connection.clock);
    this.#telemetry = new RateLimitTelemetry({ module: name, connection: connection.name });
  }

  /**
   * Counts one call against `policy` for `key` and says whether it may go on.
   *
   * All limits of the policy are decided in one script: every one is charged, or none. A denial writes nothing.
   *
   * @param key whom it is counted for. The decorators' `by.user()` counts for `['user', id]`.
   * @returns the decision; times are milliseconds
   * @throws UnknownPolicyError · OptionsError for a wrong cost, or a policy with a concurrency limit · RedisUnavailableError under `onError: 'closed'`
   * @example  const { allowed, retryAfterMs } = await limiter.consume('api', ['user', user.id]);
   * @see      one EVALSHA; calls of one turn of the event loop share it
   */
  async consume(policy: Name, key: Key, options: ConsumeOptions = noOptions): Promise<RateLimitDecision> {
    if (options !== noOptions) checkKnownKeys(options, ['cost'], 'consume');
    const described = this.#chargeOf(policy, key, options);
    // Each await is a trip through the queue of microtasks: only a dynamic policy needs one here.
    const charge = described instanceof Promise ? await described : described;
    refuseSlots(charge, 'consume');
    const decided = this.#take([charge]);
    return only(decided instanceof Promise ? await decided : decided);
  }

  /**
   * Says what {@link consume} would say, and counts nothing.
   *
   * @throws UnknownPolicyError · OptionsError for a wrong cost · RedisUnavailableError under `onError: 'closed'`
   * @see    one EVALSHA that only reads
   */
  async peek(policy: Name, key: Key, options: ConsumeOptions = {}): Promise<RateLimitDecision> {
    checkKnownKeys(options, ['cost'], 'peek');
    return only(await this.#joint.decide([await this.#chargeOf(policy, key, options)], false));
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
    const charges = await Promise.all(
      checks.map(async ({ policy, key, cost }) => this.#chargeOf(policy, key, { cost })),
    );
    for (const charge of charges) refuseSlots(charge, 'check');
    refuseTwice(charges);
    return (await this.#take(charges)).decisions;
  }

  /**
   * Gives back what a decision has charged, as far as it is still counted: never into a later window, never above the limit.
   *
   * @returns whether anything was given back. A receipt object works once; a copy of it that was stored or sent is yours to use once.
   * @throws UnknownPolicyError · RedisUnavailableError
   * @see    one EVALSHA
   */
  async refund(receipt: RateLimitReceipt): Promise<boolean> {
    const policy = await this.options.policies.policyFor(receipt.policy, receipt.key);
    const anything = await this.#amender.refund(policy, receipt);
    if (anything) this.#telemetry.refunded(policy.name);
    return anything;
  }

  /**
   * Takes `cost` units without asking whether there are so many: at most all that is left. For what turned out dearer than it was charged; to keep somebody out,
   * {@link block}.
   *
   * @throws UnknownPolicyError · OptionsError for a wrong cost, or a policy with a concurrency limit alone · RedisUnavailableError
   * @see    one EVALSHA
   */
  async penalize(policy: Name, key: Key, options: ConsumeOptions = {}): Promise<void> {
    checkKnownKeys(options, ['cost'], 'penalize');
    await this.#amender.penalize(await this.options.policies.policyFor(policy, key), key, checkCost(options.cost ?? 1));
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
   * Counts exactly `used` units, as if they had been taken now, in every limit of the policy: to carry over counts from elsewhere.
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
   * the same kind and over the same time.
   *
   * @throws UnknownPolicyError · OptionsError for what is no policy
   */
  redefine(policy: Name, limits: RateLimitPolicy): void {
    createPolicies({ [policy]: limits });
    this.options.policies.redefine(policy, limits);
  }

  /**
   * Makes a `dynamic` policy ask for its limits again at the next call, in this process; others do so when their `cache` has passed.
   *
   * @param key for whom. @default everybody
   * @throws UnknownPolicyError
   */
  refresh(policy: Name, key?: Key): void {
    this.options.policies.refresh(policy, key);
  }

  /** What has been decided so far in this process, by policy. A policy that was never asked is not there. */
  stats(): Record<string, PolicyStats> {
    return this.#telemetry.stats();
  }

  /**
   * Takes a slot of a policy with a concurrency limit, and charges its other limits, if it has some. The slot is kept until it is released, however long that takes;
   * when this process dies it comes back as its lease lapses.
   *
   * @param options.maxWait how long to wait for a free slot; in this process first come, first served
   * @throws RateLimitExceededError · UnknownPolicyError · OptionsError for a policy without a concurrency limit · RedisUnavailableError under `onError: 'closed'`
   * @example
   * await using slot = await limiter.acquire('export', ['user', user.id]);
   * await report(slot.signal);
   * @see      one EVALSHA, ZREM to release, one EVALSHA a third of a lease for all slots of the process
   */
  async acquire(policy: Name, key: Key, options: WaitOptions = {}): Promise<Slot> {
    const charge = await this.#chargeOf(policy, key, options);
    if (!hasSlots(charge.policy)) {
      throw new OptionsError(
        `acquire("${policy}")`,
        'takes a policy with a concurrency limit. For others use consume or wait.',
      );
    }
    return this.#waitFor('acquire', charge, options, async () => {
      const { decisions, slot } = await this.#admit([charge]);
      return { got: slot, decision: only({ decisions }) };
    });
  }

  /**
   * {@link consume} that waits until it is allowed: in this process first come, first served, and with one question to Redis at a time.
   *
   * @throws RateLimitExceededError as soon as it is known that it can't be within `maxWait` · the signal's reason · like {@link consume}
   */
  async wait(policy: Name, key: Key, options: WaitOptions = {}): Promise<RateLimitDecision> {
    const charge = await this.#chargeOf(policy, key, options);
    refuseSlots(charge, 'wait');
    return this.#waitFor('wait', charge, { maxWait: '10s', ...options }, async () => {
      const decision = only(await this.#take([charge]));
      return { got: decision.allowed ? decision : undefined, decision };
    });
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
    if (!hasSlots(await this.options.policies.policyFor(policy, key))) {
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

  /** @internal {@link check} for decorators, whose policy may be their own, and who hold the slots until their call ends. */
  async admit(checks: readonly ReferencedCheck[]): Promise<Admission> {
    const charges = await Promise.all(
      checks.map(async ({ policy, key, cost, context }) => {
        this.options.policies.register(policy);
        return this.#chargeOf(policy.name, key, { cost }, context);
      }),
    );
    refuseTwice(charges);
    return this.#admit(charges);
  }

  #chargeOf(
    name: string,
    subject: Key,
    { cost = 1 }: { readonly cost?: number | undefined },
    context?: RateLimitContext,
  ): SubjectCharge | Promise<SubjectCharge> {
    const found = this.options.policies.policyFor(name, subject, context);
    if (found instanceof Promise) return found.then((policy) => ({ policy, subject, cost: checkCost(cost) }));
    return { policy: found, subject, cost: checkCost(cost) };
  }

  #take(charges: readonly SubjectCharge[], id?: string): Decided | Promise<Decided> {
    const decided = this.#joint.decide(charges, true, id);
    return decided instanceof Promise ? this.#taken(charges, decided) : this.#counted(decided);
  }

  async #taken(charges: readonly SubjectCharge[], decided: Promise<Decided>): Promise<Decided> {
    try {
      return this.#counted(await decided);
    } catch (error) {
      this.#telemetry.failed(charges.map(({ policy }) => policy.name));
      throw error;
    }
  }

  #counted(decided: Decided): Decided {
    this.#telemetry.decided(decided.decisions, decided.allowed, decided.remembered);
    return decided;
  }

  async #admit(charges: readonly SubjectCharge[]): Promise<Admission> {
    const id = charges.some(({ policy }) => hasSlots(policy)) ? randomUUID() : undefined;
    const sentAtMs = this.connection.clock.now();
    const { decisions, allowed, slots } = await this.#take(charges, id);
    const denial = allowed ? undefined : decisions.find((decision) => !decision.allowed);
    const [decision] = decisions;
    if (!allowed || id === undefined || decision === undefined) return { decisions, denial, slot: undefined };
    const onReleased = () => {
      for (const charge of charges) this.#lines.wake(lineOf(charge));
    };
    return { decisions, denial, slot: new HeldSlot(this.#keeper, { decision, slots, id, sentAtMs, onReleased }) };
  }

  #waitFor<T>(
    operation: string,
    charge: SubjectCharge,
    options: WaitOptions,
    attempt: () => Promise<{ got: T | undefined; decision: RateLimitDecision }>,
  ): Promise<T> {
    checkKnownKeys(options, ['cost', 'maxWait', 'signal'], operation);
    const maxWaitMs = durationMs(options.maxWait ?? 0, `${operation}.maxWait`, { min: 0 });
    return this.#lines.wait(lineOf(charge), { maxWaitMs, signal: options.signal }, async (): Promise<Attempt<T>> => {
      const { got, decision } = await attempt();
      return { got, decision, againInMs: againIn(decision) };
    });
  }
}

/** A denial of a concurrency limit alone may end at any moment, as soon as somebody is ready. */
function againIn({ limits, retryAfterMs }: RateLimitDecision): number {
  const rates = limits.filter(({ kind, blocked }) => kind !== 'concurrency' || blocked);
  const slots = limits.length > rates.length;
  const ratesMs = Math.max(0, ...rates.map((limit) => limit.retryAfterMs));
  return slots ? Math.max(ratesMs, Math.min(retryAfterMs, slotPollMs * (0.5 + Math.random() / 2))) : retryAfterMs;
}

/** Tells policies and subjects apart, in this process. */
function lineOf({ policy, subject }: Pick<SubjectCharge, 'policy' | 'subject'>): string {
  return `${policy.id} ${encodeSubject(subject)}`;
}

function checkCost(cost: number): number {
  return checkInteger(cost, 'cost', 0, largestCost);
}

function hasSlots({ limits }: CompiledPolicy): boolean {
  return limits.some(({ limit }) => limit.kind === 'concurrency');
}

function refuseSlots({ policy }: SubjectCharge, operation: string): void {
  if (!hasSlots(policy)) return;
  throw new OptionsError(
    `${operation}("${policy.name}")`,
    'has a concurrency limit, whose slots somebody has to give back. Use acquire or run.',
  );
}

function refuseTwice(charges: readonly SubjectCharge[]): void {
  if (charges.length < 2) return;
  const seen = new Set<string>();
  for (const { policy, subject } of charges) {
    const name = lineOf({ policy, subject });
    if (seen.has(name)) {
      throw new OptionsError('check', `names the policy "${policy.name}" twice for one key. Add up the cost.`);
    }
    seen.add(name);
  }
}

function only({ decisions }: Pick<Decided, 'decisions'>): RateLimitDecision {
  const [decision] = decisions;
  if (decision === undefined) throw new TypeError('A charge has a decision.');
  return decision;
}
