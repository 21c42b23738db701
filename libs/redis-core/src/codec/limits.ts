import { quote } from '../options/quote.js';
import { OptionsError } from '../redis.errors.js';

/** The limits of one codec, resolved. */
export interface CodecLimits {
  readonly maxDepth: number;
  readonly maxBytes: number;
}

/** What Redis itself takes as one value: 512 MB. */
const largestValue = 512 * 1024 * 1024;

/** Refuses an option that is no whole number between its bounds, both inclusive. */
export function wholeNumber(value: number, option: string, { min = 1, max = largestValue }): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new OptionsError(option, `${quote(value)} is not a whole number from ${min} to ${max}.`);
}

/** Why a value is refused that needs more bytes than allowed. */
export function tooLarge(maxBytes: number): string {
  return `value takes more than ${maxBytes} bytes when encoded (maxBytes). Store less, or raise the limit.`;
}
