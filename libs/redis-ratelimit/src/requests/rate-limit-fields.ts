import type { LimitDecision, RateLimitDecision } from '../decision.js';
import { serializeList, type FieldItem, type FieldParameter } from './structured-fields.js';

/** The unit of slots in the draft's registry; without `qu` it is requests. */
const slots = 'concurrent-requests';

/** Tells whom a decision is about, without telling who that is. */
export type PartitionKeyOf = (decision: RateLimitDecision) => FieldParameter;

const untold: PartitionKeyOf = () => undefined;

/**
 * The header fields of the IETF draft `draft-ietf-httpapi-ratelimit-headers`, one item per limit:
 *
 *     RateLimit-Policy: "api";q=100;w=60     q units per window of w seconds
 *     RateLimit: "api";r=87;t=12             r units left; t seconds until there are more
 *
 * A concurrency limit has `qu="concurrent-requests"` and no window. What nobody counted, because Redis was away and the policy is open, is left out, and so is
 * a policy that does not enforce.
 *
 * @param partitionKeyOf the parameter `pk` of a decision's items
 */
export function rateLimitFields(
  decisions: readonly RateLimitDecision[],
  partitionKeyOf: PartitionKeyOf = untold,
): Record<string, string> {
  const latest = retryAfterSeconds(decisions);
  const policies: FieldItem[] = [];
  const limits: FieldItem[] = [];
  for (const decision of decisions) {
    if (!isTold(decision)) continue;
    const pk = partitionKeyOf(decision);
    for (const row of decision.limits) {
      const { name, limit, remaining } = row;
      policies.push({
        value: name,
        parameters: [
          ['q', limit],
          ['w', windowSeconds(row)],
          ['qu', unitOf(row)],
          ['pk', pk],
        ],
      });
      limits.push({
        value: name,
        parameters: [
          ['r', remaining],
          ['t', waitSeconds(row, latest)],
          ['pk', pk],
        ],
      });
    }
  }
  return policies.length === 0 ? {} : { 'RateLimit-Policy': serializeList(policies), RateLimit: serializeList(limits) };
}

/**
 * The fields that came before the draft, of the limit that matters: `X-RateLimit-Limit`, `-Remaining`, and `-Reset` in seconds from now, as
 * most frameworks for Node send them.
 */
export function legacyFields(decisions: readonly RateLimitDecision[]): Record<string, string> {
  const counted = decisions.filter(isTold);
  const [first, ...others] = counted;
  if (first === undefined) return {};
  const { limit, remaining, retryAfterMs, resetAfterMs } = others.reduce(tighter, first);
  const waitMs = retryAfterMs > 0 && Number.isFinite(retryAfterMs) ? retryAfterMs : resetAfterMs;
  return {
    'X-RateLimit-Limit': `${limit}`,
    'X-RateLimit-Remaining': `${remaining}`,
    'X-RateLimit-Reset': `${Math.ceil(waitMs / 1_000)}`,
  };
}

/** The decision that matters most: what has to be waited for longest, or has the least left. */
export function tighter(one: RateLimitDecision, other: RateLimitDecision): RateLimitDecision {
  if (one.allowed !== other.allowed) return one.allowed ? other : one;
  if (one.retryAfterMs !== other.retryAfterMs) return one.retryAfterMs > other.retryAfterMs ? one : other;
  return other.remaining < one.remaining ? other : one;
}

/** When a denied call may come again; `undefined` when it is none, or waiting does not help. */
function retryAfterSeconds(decisions: readonly RateLimitDecision[]): number | undefined {
  let longest = -1;
  for (const { allowed, retryAfterMs } of decisions) if (!allowed) longest = Math.max(longest, retryAfterMs);
  return longest < 0 || longest === Infinity ? undefined : Math.max(1, Math.ceil(longest / 1_000));
}

function isTold({ decidedBy, enforced }: RateLimitDecision): boolean {
  return decidedBy !== 'open' && enforced;
}

/** The draft knows whole seconds only; a shorter window is not told. */
function windowSeconds({ kind, windowMs }: LimitDecision): number | undefined {
  return kind === 'concurrency' || windowMs < 1_000 ? undefined : Math.ceil(windowMs / 1_000);
}

function unitOf({ kind }: LimitDecision): string | undefined {
  return kind === 'concurrency' ? slots : undefined;
}

/**
 * For a denial the wait for this call, otherwise the time until the quota is full. Beside a denial by another limit the latter may be later than `Retry-After`,
 * which the draft does not want; then it is not told.
 */
function waitSeconds(row: LimitDecision, latest = Infinity): number | undefined {
  const { kind, allowed, retryAfterMs, resetAfterMs } = row;
  // When slots come back is up to their holders.
  if (kind === 'concurrency' && allowed) return undefined;
  const waitMs = allowed ? resetAfterMs : retryAfterMs;
  if (waitMs === 0 || waitMs === Infinity) return undefined;
  const seconds = Math.ceil(waitMs / 1_000);
  return seconds > latest ? undefined : seconds;
}
