/** What every test command ends with. */
import { writeFileSync } from 'node:fs';
import { describeRows, sum, totalLine } from './totals.mjs';

/** Prints what came of everything. @returns the exit code: 0 when nothing has failed */
export function conclude(rows, began, say) {
  say('\n── results');
  for (const line of describeRows(rows)) say(line);
  say(`after ${seconds(began)}`);
  const total = totalLine(sum(rows));
  // .ci/run prints the line itself, after whatever npm has to say.
  if (process.env.REDSTART_TOTAL_FILE) writeFileSync(process.env.REDSTART_TOTAL_FILE, total);
  else say(total);
  return sum(rows).failed === 0 ? 0 : 1;
}

/** @param {number} began by `performance.now()` */
export const seconds = (began) => `${((performance.now() - began) / 1000).toFixed(1)} s`;
