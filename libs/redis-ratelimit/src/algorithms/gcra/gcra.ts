import {
  checkInteger,
  checkKnownKeys,
  durationMs,
  formatDuration,
  OptionsError,
  type Duration,
} from '@redstart/redis-core';
import { policyOptionNames, resolvePolicyOptions, type PolicyOptions } from '../../policies/policy-options.js';
import type { LimitShape } from '../algorithm.js';

export interface GcraOptions extends PolicyOptions {
  /** How many units come back `per` that time, evenly: 1 to 1,000,000,000. */
  rate: number;
  /** The time in which `rate` units come back, up to a year. */
  per: Duration;
  /** The whole bucket: how many units may be taken at once after a pause, the first one included. @default rate */
  burst?: number;
}

/** A limit by GCRA; made by {@link gcra}. */
export interface Gcra extends LimitShape {
  readonly kind: 'gcra';
  readonly burst: number;
  readonly perMs: number;
  /** The time for one unit, in microseconds, as a fraction in its lowest terms: nothing is rounded. */
  readonly unit: { readonly numerator: number; readonly denominator: number };
}

/**
 * The generic cell rate algorithm: units come back one by one, `rate` in every `per`, and at most `burst` can be saved up. Over any time d no more than
 * `burst + rate * d / per` are admitted, so a full window can see up to `burst + rate`. One small string in Redis, whatever the rate.
 *
 * @throws OptionsError for numbers that are none, an unknown option, or a burst so large that it can't be counted exactly
 * @example  gcra({ rate: 100, per: '1m', burst: 20 })
 * @see      https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
 */
export function gcra(options: GcraOptions): Gcra {
  const where = 'gcra';
  checkKnownKeys(options, ['rate', 'per', 'burst', ...policyOptionNames], where);
  const rate = checkInteger(options.rate, `${where}.rate`, 1, 1_000_000_000);
  const perMs = durationMs(options.per, `${where}.per`);
  const perUs = perMs * 1_000;
  const burst = checkInteger(options.burst ?? rate, `${where}.burst`, 1, 1_000_000_000);
  const common = greatestCommonDivisor(perUs, rate);
  const unit = { numerator: perUs / common, denominator: rate / common };
  const largest = Math.floor(Number.MAX_SAFE_INTEGER / unit.numerator);
  if (burst > largest) {
    throw new OptionsError(
      `${where}.burst`,
      `${burst} units at ${rate} per ${formatDuration(perMs)} can't be counted exactly. Use at most ${largest}, or slidingWindow({ … }).`,
    );
  }
  return Object.freeze({
    kind: 'gcra',
    limit: burst,
    windowMs: Math.max(1, Math.ceil((burst * unit.numerator) / unit.denominator / 1_000)),
    burst,
    perMs,
    unit: Object.freeze(unit),
    policy: resolvePolicyOptions(options, where),
  });
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
