import type { LimitDecision, RateLimitDecision } from '../decision.js';
import { serializeList } from './structured-fields.js';

/**
 * The header fields of the IETF draft `draft-ietf-httpapi-ratelimit-headers`, one item per limit:
 *
 *     RateLimit-Policy: "api";q=100;w=60     q units per window of w seconds
 *     RateLimit: "api";r=87;t=12             r units left; t seconds until there are more
 *
 * What nobody counted, because Redis was away and the policy is open, is left out.
 */
export function rateLimitFields(decisions: readonly RateLimitDecision[]): Record<string, string> {
  const limits = decisions.filter(({ decidedBy }) => decidedBy !== 'open').flatMap(({ limits }) => limits);
  if (limits.length === 0) return {};
  return {
    'RateLimit-Policy': serializeList(
      limits.map(({ name, limit, windowMs }) => ({
        value: name,
        parameters: { q: limit, w: windowSeconds(windowMs) },
      })),
    ),
    RateLimit: serializeList(
      limits.map((row) => ({ value: row.name, parameters: { r: row.remaining, t: waitSeconds(row) } })),
    ),
  };
}

/** The draft knows whole seconds only; a shorter window is not told. */
function windowSeconds(windowMs: number): number | undefined {
  return windowMs < 1_000 ? undefined : Math.ceil(windowMs / 1_000);
}

/** Never later than Retry-After: for a denial the wait for this call, otherwise the time until the quota is full. */
function waitSeconds({ allowed, retryAfterMs, resetAfterMs }: LimitDecision): number | undefined {
  const waitMs = allowed ? resetAfterMs : retryAfterMs;
  return waitMs === 0 || waitMs === Infinity ? undefined : Math.ceil(waitMs / 1_000);
}
