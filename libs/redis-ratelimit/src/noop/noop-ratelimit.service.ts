import type { Provider } from '@nestjs/common';
import { checkKnownKeys, durationMs, encodeSubject, systemClock, type Duration, type Key } from '@redstart/redis-core';
import type { Admission } from '../deciding/admissions.js';
import type { ReferencedCheck } from '../deciding/charges.js';
import type { RateLimitDecision } from '../decision.js';
import { checkCost, withKey } from '../policies/usable-input.js';
import { checkPolicyName } from '../policies/policy.js';
import { resolveRateLimitOptions, type ResolvedRateLimitOptions } from '../ratelimit.options.js';
import { RateLimitService, type ConsumeOptions, type RateLimitCheck, type WaitOptions } from '../ratelimit.service.js';
import { getRateLimitToken, getRequestLimiterToken } from '../ratelimit.tokens.js';
import type { RequestLimiter } from '../requests/request-limiter.js';
import type { Slot } from '../slots/slot.js';
import type { PolicyStats } from '../telemetry/ratelimit-telemetry.js';

/** The whole public face of RateLimitService: one that gets a method more, and this class not, does not compile. There is no connection. */
type PublicRateLimitService = Pick<RateLimitService, Exclude<keyof RateLimitService, 'connection'>>;

/** As much as one call may cost: what is left of no limit. */
const plenty = 2 ** 31;

/** Everything is allowed, to everybody, at any time, and nothing is counted. Wrong options, keys and names are refused as ever. */
class NoopRateLimitService implements PublicRateLimitService {
  readonly options: ResolvedRateLimitOptions;

  constructor(name: string) {
    this.options = resolveRateLimitOptions({ policies: {} }, name, systemClock);
  }

  async consume(policy: string, key: Key, options: ConsumeOptions = {}): Promise<RateLimitDecision> {
    return Promise.resolve(decide('consume', policy, key, options));
  }

  async peek(policy: string, key: Key, options: ConsumeOptions = {}): Promise<RateLimitDecision> {
    return Promise.resolve(decide('peek', policy, key, options));
  }

  async check(checks: readonly RateLimitCheck[]): Promise<readonly RateLimitDecision[]> {
    for (const [index, one] of checks.entries()) checkKnownKeys(one, ['policy', 'key', 'cost'], `check[${index}]`);
    return Promise.resolve(checks.map(({ policy, key, cost = 1 }) => decide('check', policy, key, { cost })));
  }

  async admit(checks: readonly ReferencedCheck[]): Promise<Admission> {
    const decisions = checks.map(({ policy, key, cost }) => decide('check', policy.name, key, { cost }));
    return Promise.resolve({ decisions, denial: undefined, slot: undefined });
  }

  async refund(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async penalize(policy: string, key: Key, options: ConsumeOptions = {}): Promise<void> {
    decide('penalize', policy, key, options);
    return Promise.resolve();
  }

  async block(policy: string, key: Key, duration: Duration): Promise<void> {
    decide('block', policy, key, {});
    durationMs(duration, 'block');
    return Promise.resolve();
  }

  async set(policy: string, key: Key, used: number): Promise<void> {
    decide('set', policy, key, { cost: used });
    return Promise.resolve();
  }

  async reset(policy: string, key: Key): Promise<boolean> {
    decide('reset', policy, key, {});
    return Promise.resolve(false);
  }

  redefine(): void {
    // There is nothing that it could change.
  }

  async refresh(): Promise<void> {
    // Nobody asks a dynamic policy here.
  }

  stats(): Record<string, PolicyStats> {
    return {};
  }

  async acquire(policy: string, key: Key, options: WaitOptions = {}): Promise<Slot> {
    return Promise.resolve(new NoopSlot(waited('acquire', policy, key, options)));
  }

  async wait(policy: string, key: Key, options: WaitOptions = {}): Promise<RateLimitDecision> {
    return Promise.resolve(waited('wait', policy, key, options));
  }

  async run<T>(
    policy: string,
    key: Key,
    fn: (signal: AbortSignal) => T | Promise<T>,
    options: WaitOptions = {},
  ): Promise<T> {
    waited('run', policy, key, options);
    return fn(options.signal ?? new AbortController().signal);
  }
}

/** Never lost. */
class NoopSlot implements Slot {
  readonly signal = new AbortController().signal;
  #held = true;

  constructor(readonly decision: RateLimitDecision) {}

  release(): Promise<boolean> {
    const held = this.#held;
    this.#held = false;
    return Promise.resolve(held);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/**
 * Stands in for RedisRateLimitModule in unit tests without Redis: nothing is ever denied or counted, methods with `@LimitCalls` run, and controllers, resolvers and gateways
 * with `@RateLimit` can be built and called.
 *
 * @param name the name of the module that it stands in for
 * @example  Test.createTestingModule({ controllers: [FlightsController], providers: [...provideNoopRateLimit()] })
 */
export function provideNoopRateLimit(name = 'default'): Provider[] {
  const token = getRateLimitToken(name);
  const limiter: Pick<RequestLimiter, 'admit' | 'concerns'> = { admit: () => true, concerns: () => false };
  return [
    { provide: token, useFactory: () => asService(new NoopRateLimitService(name)) },
    { provide: getRequestLimiterToken(name), useValue: limiter },
    ...(name === 'default' ? [{ provide: RateLimitService, useExisting: token }] : []),
  ];
}

function waited(operation: string, policy: string, key: Key, options: WaitOptions): RateLimitDecision {
  checkKnownKeys(options, ['cost', 'maxWait', 'signal'], operation);
  if (options.maxWait !== undefined) durationMs(options.maxWait, `${operation}.maxWait`, { min: 0 });
  options.signal?.throwIfAborted();
  return decide(operation, policy, key, options.cost === undefined ? {} : { cost: options.cost });
}

function decide(operation: string, policy: string, key: Key, options: ConsumeOptions): RateLimitDecision {
  checkKnownKeys(options, ['cost'], operation);
  checkPolicyName(policy, operation);
  checkCost(policy, options.cost ?? 1);
  withKey(policy, () => encodeSubject(key));
  return Object.freeze({
    policy,
    allowed: true,
    enforced: true,
    limit: plenty,
    remaining: plenty,
    retryAfterMs: 0,
    resetAfterMs: 0,
    receipt: undefined,
    limits: Object.freeze([]),
    decidedBy: 'open',
  });
}

/** Private fields make the class nominal, so whatever has its whole public face still has to be called one. */
function asService(noop: PublicRateLimitService): RateLimitService {
  return noop as RateLimitService;
}
