/** Longest text of a user that a message repeats. */
const longest = 80;
/** What `JSON.stringify` leaves as it is although it moves a cursor, ends a line or turns the reading direction around. */
const unprintable = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/**
 * A value as a message may show it: escaped so that it can't forge a log line, and cut after 80 characters.
 *
 * Only strings, numbers, bigints and booleans are shown; of everything else just the kind, because nobody knows what it holds.
 *
 * @example  quote('a\nb') // '"a\\nb"'   quote(null) // 'null'   quote({}) // 'an object'
 */
export function quote(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return quoteText(value);
    case 'number':
      return Object.is(value, -0) ? '-0' : `${value}`;
    case 'bigint':
      return cut(`${value}n`);
    case 'boolean':
      return `${value}`;
    case 'undefined':
      return 'undefined';
    case 'symbol':
      return 'a symbol';
    case 'function':
      return 'a function';
    default:
      return value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object';
  }
}

function quoteText(text: string): string {
  const shown = text.length > longest ? text.slice(0, longest) : text;
  const escaped = JSON.stringify(shown).replace(
    unprintable,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return shown === text ? escaped : `${escaped}… (${text.length} characters)`;
}

function cut(text: string): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}
