import { quote } from '../options/quote.js';
import { OptionsError } from '../redis.errors.js';

/** The units of a written {@link Duration}, in milliseconds. */
const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A unit of a written duration: milliseconds, seconds, minutes, hours, days. */
export type DurationUnit = keyof typeof unitMs;

/** A duration in words: a decimal number and its unit, without a space. */
export type WrittenDuration = `${number}${DurationUnit}`;

/**
 * A length of time: a number of milliseconds, or a number with its unit.
 *
 * @example 250   '250ms'   '10s'   '1.5m'   '2h'   '1d'
 */
export type Duration = number | WrittenDuration;

/** The bounds of one option, both inclusive, in milliseconds. */
export interface DurationLimits {
  /** @default 1 */
  readonly min?: number;
  /** @default 31536000000 (365 days) */
  readonly max?: number;
}

/** A `ttl` beyond a year is a slip of the unit far more often than a wish. */
const yearMs = 365 * unitMs.d;
/** Fifteen digits stay exact in a double, whatever the unit does to them. */
const written = /^(\d{1,15})(?:\.(\d{1,9}))?(ms|s|m|h|d)$/;

/**
 * Reads a duration as whole milliseconds.
 *
 * @param value what the user wrote
 * @param option the name of the option or argument, for the message: `'ttl'`
 * @returns an integer between `limits.min` and `limits.max`
 * @throws OptionsError for anything else: `'5 minutes'`, `'1e3s'`, `-1`, `NaN`, `Infinity`, `0.5`. Nothing is rounded.
 * @example  durationMs('1.5s', 'ttl') // 1500
 */
export function durationMs(value: Duration, option: string, limits: DurationLimits = {}): number {
  const { min = 1, max = yearMs } = limits;
  const ms = typeof value === 'number' ? value : writtenMs(value);
  if (ms === undefined || !Number.isInteger(ms) || ms < min || ms > max) {
    throw new OptionsError(
      option,
      `${quote(value)} is not a duration from ${formatDuration(min)} to ${formatDuration(max)}. ` +
        `Write whole milliseconds as a number, or a number with its unit: '250ms', '10s', '5m', '2h', '1d'.`,
    );
  }
  return ms + 0; // -0 becomes 0
}

/**
 * Writes milliseconds the way a user would, in the largest unit that stays exact.
 *
 * @param ms fractions are rounded to whole milliseconds
 * @returns a duration that {@link durationMs} reads back; `Infinity` and `NaN` are written as such
 * @example  formatDuration(300_000) // '5m'   formatDuration(90_000) // '90s'   formatDuration(12.4) // '12ms'
 */
export function formatDuration(ms: number): WrittenDuration {
  const whole = Math.round(ms) + 0;
  if (whole === 0 || !Number.isFinite(whole)) return `${whole}ms`;
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (whole % unitMs[unit] === 0) return `${whole / unitMs[unit]}${unit}`;
  }
  return `${whole}ms`;
}

/** The milliseconds of a written duration, or `undefined` when it isn't one or holds a fraction of a millisecond. */
function writtenMs(text: unknown): number | undefined {
  if (typeof text !== 'string') return undefined;
  const [, whole, fraction = '', unit] = written.exec(text) ?? [];
  if (whole === undefined || !isUnit(unit)) return undefined;
  if (fraction === '') return Number(whole) * unitMs[unit];
  // In integers, because 1.005 * 1000 is 1004.9999999999999.
  const scaled = BigInt(whole + fraction) * BigInt(unitMs[unit]);
  const scale = 10n ** BigInt(fraction.length);
  return scaled % scale === 0n ? Number(scaled / scale) : undefined;
}

function isUnit(text: string | undefined): text is DurationUnit {
  return text !== undefined && Object.hasOwn(unitMs, text);
}
