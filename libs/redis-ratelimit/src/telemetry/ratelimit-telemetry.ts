import type { RateLimitDecision } from '../decision.js';
import { rateLimitChannel, type RateLimitHappening } from './ratelimit-events.js';

/** What a RateLimitService has decided under one policy since it was created, in this process. */
export interface PolicyStats {
  /** Calls that may go on. */
  readonly allowed: number;
  /** Of the allowed: with them at least 80 % of some limit was taken. */
  readonly nearLimit: number;
  /** Calls that may not go on. */
  readonly denied: number;
  /** Of the denied: told from memory, without asking Redis. */
  readonly remembered: number;
  /** Calls that would have been denied, under `enforce: false`. They count as allowed too. */
  readonly wouldDeny: number;
  /** Calls that another policy of theirs denied: they were not charged here. */
  readonly spared: number;
  /** Calls that Redis did not decide: the local limiter did, or the open policy. */
  readonly fallback: number;
  /** Calls that failed: Redis was away and the policy is closed, or it refused the command. */
  readonly failed: number;
  readonly refunded: number;
}

type Counts = { -readonly [Name in keyof PolicyStats]: PolicyStats[Name] };

/** Whose telemetry it is. */
interface Origin {
  readonly module: string;
  readonly connection: string;
}

/** From this share on a limit is nearly reached. */
const nearShare = 0.8;

/** Counts what one RateLimitService decides, by policy, and publishes it. While nobody listens it only counts. */
export class RateLimitTelemetry {
  readonly #origin: Origin;
  readonly #counts = new Map<string, Counts>();

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** One call has been decided. */
  decided(decisions: readonly (RateLimitDecision | undefined)[], allowed: boolean, remembered: boolean): void {
    for (const decision of decisions) if (decision !== undefined) this.#tell(decision, allowed, remembered);
  }

  failed(policies: readonly string[]): void {
    for (const policy of policies) {
      this.#countsOf(policy).failed += 1;
      this.#publish(policy, { event: 'failed' });
    }
  }

  refunded(policy: string): void {
    this.#countsOf(policy).refunded += 1;
    this.#publish(policy, { event: 'refunded' });
  }

  stats(): Record<string, PolicyStats> {
    return Object.fromEntries([...this.#counts].map(([policy, counts]) => [policy, { ...counts }]));
  }

  #tell(decision: RateLimitDecision, allowed: boolean, remembered: boolean) {
    const { policy, limits, enforced, decidedBy } = decision;
    const counts = this.#countsOf(policy);
    if (decidedBy !== 'redis') counts.fallback += 1;
    let isDenied = false;
    let blocked = false;
    let near = false;
    for (const limit of limits) {
      isDenied ||= !limit.allowed;
      blocked ||= limit.blocked;
      near ||= limit.limit - limit.remaining >= limit.limit * nearShare;
    }
    if (isDenied) {
      if (enforced) counts.denied += 1;
      else counts.wouldDeny += 1;
      if (remembered) counts.remembered += 1;
      this.#publish(policy, { event: 'denied', decidedBy, enforced, blocked, remembered });
    }
    if (!decision.allowed) return;
    if (!allowed) {
      counts.spared += 1;
      this.#publish(policy, { event: 'spared' });
      return;
    }
    counts.allowed += 1;
    const nearLimit = near && !isDenied;
    if (nearLimit) counts.nearLimit += 1;
    if (!isDenied) this.#publish(policy, { event: 'allowed', decidedBy, nearLimit });
  }

  #countsOf(policy: string): Counts {
    const known = this.#counts.get(policy);
    if (known !== undefined) return known;
    const counts: Counts = {
      allowed: 0,
      nearLimit: 0,
      denied: 0,
      remembered: 0,
      wouldDeny: 0,
      spared: 0,
      fallback: 0,
      failed: 0,
      refunded: 0,
    };
    this.#counts.set(policy, counts);
    return counts;
  }

  #publish(policy: string, happening: RateLimitHappening): void {
    if (rateLimitChannel.hasSubscribers)
      rateLimitChannel.publish(Object.freeze({ ...this.#origin, policy, ...happening }));
  }
}
