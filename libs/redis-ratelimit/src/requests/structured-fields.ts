import { serializeBareItem } from 'structured-headers';

/** A parameter of an item: an integer, a string, or bytes. One that is `undefined` is left out. */
export type FieldParameter = number | string | Uint8Array<ArrayBuffer> | undefined;

/** An item of a structured field (RFC 9651): a string with parameters. Only what the RateLimit fields need. */
export interface FieldItem {
  readonly value: string;
  /** Names are ours: lower-case letters. */
  readonly parameters: readonly (readonly [name: string, value: FieldParameter])[];
}

/** Texts that stand between quotes as they are, such as names of policies. */
const plain = /^[A-Za-z0-9_.\-/]*$/;
/** The largest integer that a structured field may hold. */
const largest = 999_999_999_999_999;

/**
 * Writes a list of strings with parameters.
 *
 * @throws for a string that is not printable ASCII, or a number that is no integer
 * @example  serializeList([{ value: 'api', parameters: [['q', 100], ['w', 60]] }]) // '"api";q=100;w=60'
 */
export function serializeList(items: readonly FieldItem[]): string {
  let list = '';
  for (const { value, parameters } of items) {
    list += `${list === '' ? '' : ', '}${bareItem(value)}`;
    for (const [name, parameter] of parameters) if (parameter !== undefined) list += `;${name}=${bareItem(parameter)}`;
  }
  return list;
}

/** Nearly all are short cuts: every answer has some. */
function bareItem(value: Exclude<FieldParameter, undefined>): string {
  if (typeof value === 'number') return `${integer(value)}`;
  return typeof value === 'string' && plain.test(value) ? `"${value}"` : serializeBareItem(value);
}

function integer(value: number): number {
  // A fraction would become a decimal, which the fields don't know.
  if (!Number.isInteger(value)) throw new TypeError('An integer of a structured field is whole.');
  return Math.max(-largest, Math.min(largest, value));
}
