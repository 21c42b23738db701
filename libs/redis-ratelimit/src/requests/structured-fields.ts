import { serializeList as serialize } from 'structured-headers';

/** A parameter of an item: an integer, a string, or bytes. One that is `undefined` is left out. */
export type FieldParameter = number | string | Uint8Array<ArrayBuffer> | undefined;

/** An item of a structured field (RFC 9651): a string with parameters. Only what the RateLimit fields need. */
export interface FieldItem {
  readonly value: string;
  /** Names are ours: lower-case letters. */
  readonly parameters: Readonly<Record<string, FieldParameter>>;
}

/** The largest integer that a structured field may hold. */
const largest = 999_999_999_999_999;

/**
 * Writes a list of strings with parameters.
 *
 * @throws for a string that is not printable ASCII, or a number that is no integer
 * @example  serializeList([{ value: 'api', parameters: { q: 100, w: 60 } }]) // '"api";q=100;w=60'
 */
export function serializeList(items: readonly FieldItem[]): string {
  return serialize(items.map(({ value, parameters }) => [value, parametersOf(parameters)]));
}

function parametersOf(parameters: FieldItem['parameters']): Map<string, number | string | Uint8Array<ArrayBuffer>> {
  const given = new Map<string, number | string | Uint8Array<ArrayBuffer>>();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    given.set(name, typeof value === 'number' ? integer(value) : value);
  }
  return given;
}

function integer(value: number): number {
  // A fraction would become a decimal, which the fields don't know.
  if (!Number.isInteger(value)) throw new TypeError('An integer of a structured field is whole.');
  return Math.max(-largest, Math.min(largest, value));
}
