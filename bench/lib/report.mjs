/**
 * One part of a report.
 *
 * @typedef {object} Section
 * @property {string} title
 * @property {string} text what was measured, for a reader who has not read the code
 * @property {Record<string, string | number>[][]} tables
 * @property {Verdict[]} verdicts
 *
 * @typedef {object} Verdict
 * @property {string} measure
 * @property {{ atLeast: number } | { atMost: number } | undefined} bar
 * @property {number} median
 * @property {number} lower
 * @property {number} upper
 * @property {boolean | undefined} passed
 */

/** @param {Section} section */
export function describeSection({ title, text, tables, verdicts }) {
  const parts = [`## ${title}`, text, ...tables.map(markdownTable)];
  if (verdicts.length > 0) parts.push(verdicts.map((verdict) => `- ${describeVerdict(verdict)}`).join('\n'));
  return parts.join('\n\n');
}

/** @param {Section[]} sections */
export function describeBars(sections) {
  const rows = sections.flatMap(({ title, verdicts }) =>
    verdicts.map(({ measure, bar, median, lower, upper, passed }) => ({
      work: title,
      measure,
      bar: describeBar(bar),
      median: short(median),
      quartiles: `${short(lower)} - ${short(upper)}`,
      verdict: passed ? 'met' : 'MISSED',
    })),
  );
  return `## Bars\n\n${markdownTable(rows)}`;
}

function describeVerdict({ measure, bar, median, lower, upper, passed }) {
  const measured = `${measure} ${short(median)} (${short(lower)} - ${short(upper)})`;
  return bar === undefined ? measured : `${measured}, bar ${describeBar(bar)}: ${passed ? 'met' : 'MISSED'}`;
}

function describeBar({ atLeast, atMost }) {
  return atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
}

const short = (number) => String(Number(number.toPrecision(3)));

/** As Prettier would write it: every column as wide as its widest cell. */
function markdownTable(rows) {
  const columns = Object.keys(rows[0]);
  const lines = [columns, ...rows.map((row) => columns.map((column) => String(row[column])))];
  const widths = columns.map((_, at) => Math.max(3, ...lines.map((cells) => cells[at].length)));
  const line = (cells) => `| ${cells.map((cell, at) => cell.padEnd(widths[at])).join(' | ')} |`;
  const [head, ...body] = lines.map(line);
  return [head, line(widths.map((width) => '-'.repeat(width))), ...body].join('\n');
}
