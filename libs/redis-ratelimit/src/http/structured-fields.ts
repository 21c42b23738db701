/**
 * Items of a structured field (RFC 9651): strings with integer parameters, as a list. Only what the RateLimit fields need.
 */
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
 * @throws TypeError for a string that is not printable ASCII, or a parameter that is no integer
 * @example  serializeList([{ value: 'api', parameters: { q: 100, w: 60 } }]) // '"api";q=100;w=60'
 */
export function serializeList(items: readonly FieldItem[]): string {
  return items.map(serializeItem).join(', ');
}

function serializeItem({ value, parameters }: FieldItem): string {
  let text = serializeString(value);
  for (const [name, number] of Object.entries(parameters)) {
    if (number !== undefined) text += `;${name}=${serializeInteger(number)}`;
  }
  return text;
}

function serializeString(value: string): string {
  if (!/^[\x20-\x7e]*$/.test(value)) throw new TypeError('A string of a structured field is printable ASCII.');
  return `"${value.replaceAll(/[\\"]/g, String.raw`\$&`)}"`;
}

function serializeInteger(value: number): string {
  if (!Number.isInteger(value)) throw new TypeError('An integer of a structured field is whole.');
  return `${Math.max(-largest, Math.min(largest, value))}`;
}
