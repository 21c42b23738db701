/** What every test command ends with. */
import { writeFileSync } from 'node:fs';
import { describeRows, reportOf, sum, totalLine } from './totals.mjs';

/**
 * Prints what came of everything.
 *
 * @param {import('./totals.mjs').Row[]} rows
 * @param {{ title: string, rows?: import('./totals.mjs').Row[], reason?: string }[]} surroundings what the tests really ran on, see `reportOf`
 * @returns the exit code: 0 when nothing has failed
 */
export function conclude(rows, surroundings, began, say) {
  say('\n── results');
  for (const line of describeRows(rows)) say(line);
  say(`after ${seconds(began)}`);
  // .ci/run prints the lines itself, after whatever npm has to say.
  if (process.env.REDSTART_TOTAL_FILE) writeFileSync(process.env.REDSTART_TOTAL_FILE, reportOf(rows, surroundings));
  else say(totalLine(sum(rows)));
  return sum(rows).failed === 0 ? 0 : 1;
}

/** @param {number} began by `performance.now()` */
export const seconds = (began) => `${((performance.now() - began) / 1000).toFixed(1)} s`;
