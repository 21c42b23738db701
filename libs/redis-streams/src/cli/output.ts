/** Where a command writes: results to one place, what goes on meanwhile to the other. */
export interface Output {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** Lines of columns, as wide as they need to be. What others have written can not steer the terminal. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, printable(cell).length);
  }
  return rows
    .map((row) =>
      row
        .map((cell, at) => printable(cell).padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Text without control characters. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd');
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** An age in the largest unit of which there are two: exact enough for a look. */
export function ageText(ms: number | undefined): string {
  if (ms === undefined) return '-';
  const [unit, size] = units.find(([, each]) => ms >= 2 * each) ?? ['ms', 1];
  return `${Math.floor(ms / size)}${unit}`;
}

/** One JSON value, also of what JSON can't say: payloads may hold maps, sets and bigints. */
export function json(value: unknown): string {
  return JSON.stringify(
    value,
    (_, part: unknown) => {
      if (typeof part === 'bigint') return part.toString();
      if (part instanceof Map) return [...(part as Map<unknown, unknown>)];
      return part instanceof Set ? [...(part as Set<unknown>)] : part;
    },
    2,
  );
}

const quietMs = 1_000;

/** Tells once a second how far long work has got; of short work nothing. */
export function progress({ err }: Output, verb: string): (done: number) => void {
  let toldAt = performance.now();
  return (done) => {
    const now = performance.now();
    if (now - toldAt < quietMs) return;
    toldAt = now;
    err(`${verb} ${done} so far`);
  };
}
