import { serializeList as serialize } from 'structured-headers';

/** An item of a structured field (RFC 9651): a string with integer parameters. Only what the RateLimit fields need. */
export interface FieldItem {
  readonly value: string;
  /** Names are ours: lower-case letters. A parameter that is `undefined` is left out. */
  readonly parameters: Readonly<Record<string, number | undefined>>;
}

/** The largest integer that a structured field may hold. */
const largest = 999_999_999_999_999;

/**
 * Writes a list of strings with integer parameters.
 *
 * @throws for a string that is not printable ASCII, or a parameter that is no integer
 * @example  serializeList([{ value: 'api', parameters: { q: 100, w: 60 } }]) // '"api";q=100;w=60'
 */
export function serializeList(items: readonly FieldItem[]): string {
  return serialize(items.map(({ value, parameters }) => [value, parametersOf(parameters)]));
}

function parametersOf(parameters: FieldItem['parameters']): Map<string, number> {
  const given = new Map<string, number>();
  for (const [name, number] of Object.entries(parameters)) {
    if (number === undefined) continue;
    // A fraction would become a decimal, which the fields don't know.
    if (!Number.isInteger(number)) throw new TypeError('An integer of a structured field is whole.');
    given.set(name, Math.max(-largest, Math.min(largest, number)));
  }
  return given;
}
