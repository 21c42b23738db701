/** Reads the numbers of a `node --test` run from its TAP report. */

/** @returns {{ passed: number, failed: number, skipped: number, failedNames: string[], skippedNames: string[] } | undefined} */
export function readTap(text) {
  const count = (name) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  const counts = {
    passed: count('pass'),
    failed: count('fail') + count('cancelled'),
    skipped: count('skipped') + count('todo'),
  };
  // A run that was cut off has no totals.
  if (Object.values(counts).some(Number.isNaN)) return undefined;
  return {
    ...counts,
    failedNames: names(text, /^ *not ok \d+ - (.*)$/gm),
    skippedNames: names(text, /^ *ok \d+ - (.*) # SKIP/gm),
  };
}

const names = (text, pattern) => [...text.matchAll(pattern)].map(([, name]) => name);
