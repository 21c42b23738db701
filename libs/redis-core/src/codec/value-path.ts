import { quote } from '../options/quote.js';

/** Longest path that a message repeats; of a longer one it shows both ends. */
const longest = 200;

/** One step inwards: the name of a field, the index of an item, or the place of a map's entry. */
export type PathStep = string | number | readonly ['key' | 'value', number];

/** The way to a part of a value, for messages: `value.items[3].callback`. Unusual names are quoted, so that no message can be forged with one. */
export function pathText(steps: readonly PathStep[]): string {
  const text = `value${steps.map(stepText).join('')}`;
  return text.length > longest ? `${text.slice(0, longest / 2)}…${text.slice(-longest / 2)}` : text;
}

function stepText(step: PathStep): string {
  if (typeof step === 'number') return `[${step}]`;
  if (typeof step === 'object') return `<${step[0]} ${step[1]}>`;
  return /^[A-Za-z_$][\w$]{0,59}$/.test(step) ? `.${step}` : `[${quote(step)}]`;
}
