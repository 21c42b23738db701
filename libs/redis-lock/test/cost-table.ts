import { readFile } from 'node:fs/promises';

/** What `n` stands for, where the table is compared with Redis. */
export const n = 4;

/** How often the commands are sent that a lock consists of, by this process or by a script of it. */
export interface Cost {
  readonly evalsha: number;
  readonly publish: number;
  readonly wait: number;
}

/** The table of the README that says what everything costs: the text of a row -> its numbers. */
export async function costTable(): Promise<ReadonlyMap<string, Cost>> {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const lines = readme.split('\n');
  const header = lines.findIndex((line) => /^\| what is done +\|/.test(line));
  const end = lines.findIndex((line, at) => at > header && !line.startsWith('|'));
  const rows = lines.slice(header + 2, end).map((line) => {
    const [, what = '', evalsha = '', publish = '', wait = ''] = line.split('|').map((cell) => cell.trim());
    return [what, { evalsha: numberOf(evalsha), publish: numberOf(publish), wait: numberOf(wait) }] as const;
  });
  return new Map(rows);
}

/** `3`, `n`, `2n`, `2n + 1`, or nothing. */
function numberOf(cell: string): number {
  return cell
    .split('+')
    .map((term) => /^(\d*)(n?)$/.exec(term.trim()))
    .reduce((sum, match) => {
      if (match === null) throw new Error(`"${cell}" is no number of commands.`);
      const [, digits = '', letter = ''] = match;
      const factor = digits === '' ? Number(letter !== '') : Number(digits);
      return sum + factor * (letter === '' ? 1 : n);
    }, 0);
}

/** Of what servers have counted. */
export function costOf(counts: Readonly<Record<string, number>>): Cost {
  const { evalsha = 0, publish = 0, spublish = 0, wait = 0 } = counts;
  return { evalsha, publish: publish + spublish, wait };
}
