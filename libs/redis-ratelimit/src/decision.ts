import type { Key } from '@redstart/redis-core';
import type { Limit } from './algorithms/algorithms.js';

/** What one limit of a policy says. */
export interface LimitDecision {
  /** The policy's name; with several limits the window follows, as in `login/1m`. What the header fields show. */
  readonly name: string;
  readonly kind: Limit['kind'];
  readonly allowed: boolean;
  /** Denied because the subject is blocked, whatever is left. */
  readonly blocked: boolean;
  /** How much the limit admits per window: of a bucket all it holds, of a concurrency the number of slots. */
  readonly limit: number;
  /** The window; of a bucket the time in which it fills up, of a concurrency the lease. */
  readonly windowMs: number;
  /** How much could be taken now, after this decision. */
  readonly remaining: number;
  /** 0 when allowed; `Infinity` when the cost exceeds the limit, so that waiting does not help. */
  readonly retryAfterMs: number;
  /** When nothing would be counted any more; 0 when nothing is. */
  readonly resetAfterMs: number;
}

/** What was charged, and where; for {@link RateLimitService.refund}. Plain data: it may be stored and sent. */
export interface RateLimitReceipt {
  readonly policy: string;
  readonly key: Key;
  readonly cost: number;
  /** `local`: in the process that has decided it, while Redis was away; nobody else can give it back. */
  readonly countedBy: 'redis' | 'local';
  /** When, in microseconds of the Redis server, or of this process. */
  readonly atUs: number;
  /** One per limit: its Redis key, and where in it the charge stands. */
  readonly charges: readonly { readonly key: string; readonly part: string; readonly mark: number }[];
}

/** Whether a call may go on. Times are milliseconds from now. */
export interface RateLimitDecision {
  readonly policy: string;
  /** True when every limit of the policy admits the call, or the policy does not enforce. */
  readonly allowed: boolean;
  /** False for a policy with `enforce: false`: then the limits say what it would have been. */
  readonly enforced: boolean;
  /** The limit that matters: the one to wait for longest when denied, the one with the least left otherwise. */
  readonly limit: number;
  readonly remaining: number;
  /** 0 when allowed: the same call would be allowed then if nothing else happens. `Infinity`: never. */
  readonly retryAfterMs: number;
  /** When all limits would be full again. */
  readonly resetAfterMs: number;
  /** Present when something was charged. */
  readonly receipt: RateLimitReceipt | undefined;
  /** One row per limit of the policy. */
  readonly limits: readonly LimitDecision[];
  /** `local` and `open` say that Redis was not there: see `onError`. */
  readonly decidedBy: 'redis' | 'local' | 'open';
}

/** The decision of a policy out of those of its limits. */
export function combine(
  { name, enforce }: { readonly name: string; readonly enforce: boolean },
  limits: readonly LimitDecision[],
  decidedBy: RateLimitDecision['decidedBy'],
  receipt: RateLimitReceipt | undefined,
): RateLimitDecision {
  const [first, ...others] = limits;
  if (first === undefined) throw new TypeError('A policy has a limit.');
  let tightest = first;
  let { resetAfterMs } = first;
  for (const row of others) {
    if (isTighter(row, tightest)) tightest = row;
    resetAfterMs = Math.max(resetAfterMs, row.resetAfterMs);
  }
  // Not frozen, which would cost as much as all the rest of it: it is made for its caller alone.
  return {
    policy: name,
    allowed: tightest.allowed || !enforce,
    enforced: enforce,
    limit: tightest.limit,
    remaining: tightest.remaining,
    retryAfterMs: enforce ? tightest.retryAfterMs : 0,
    resetAfterMs,
    receipt,
    limits,
    decidedBy,
  };
}

function isTighter(one: LimitDecision, other: LimitDecision): boolean {
  if (one.retryAfterMs !== other.retryAfterMs) return one.retryAfterMs > other.retryAfterMs;
  return one.remaining < other.remaining;
}
