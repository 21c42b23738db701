import { quote } from './quote.js';
import { OptionsError } from '../redis.errors.js';

/**
 * Checks of raw options, one per shape. Each names the option as the user wrote it, shows the value, and says what is allowed.
 * Values of secret options are never shown: use {@link checkSecret} for them.
 */

function refuse(option: string, value: unknown, allowed: string): never {
  throw new OptionsError(option, `got ${quote(value)}; expected ${allowed}.`);
}

/** Refuses what is not a plain options object, and every key that we don't know: a typo must not pass as a default. */
export function checkKnownKeys(options: unknown, known: readonly string[], where: string): asserts options is object {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    refuse(where, options, 'an object of options');
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      throw new OptionsError(`${where}.${key.slice(0, 60)}`, `is not an option. Known options: ${known.join(', ')}.`);
    }
  }
}

export function checkText(value: unknown, option: string): string {
  return typeof value === 'string' && value.length > 0 ? value : refuse(option, value, 'a non-empty string');
}

/** Like {@link checkText}, but a wrong value is described by its type alone. */
export function checkSecret(value: unknown, option: string): string {
  if (typeof value === 'string') return value;
  throw new OptionsError(option, `got a value of type ${typeof value}; expected a string.`);
}

export function checkInteger(value: unknown, option: string, min: number, max: number): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
    ? value
    : refuse(option, value, `an integer from ${min} to ${max}`);
}

export function checkNumber(value: unknown, option: string, min: number, max: number): number {
  return typeof value === 'number' && value >= min && value <= max
    ? value
    : refuse(option, value, `a number from ${min} to ${max}`);
}

export function checkBoolean(value: unknown, option: string): boolean {
  return typeof value === 'boolean' ? value : refuse(option, value, 'true or false');
}

export function checkOneOf<const T extends string>(value: unknown, option: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  return found ?? refuse(option, value, allowed.map((candidate) => `'${candidate}'`).join(' or '));
}

export function checkFunction<T>(value: T, option: string): T {
  return typeof value === 'function' ? value : refuse(option, value, 'a function');
}
