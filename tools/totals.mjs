/** Adds up what passed, failed and was skipped. Every check and every test is counted once; what did not run is never passed. */

/**
 * @typedef {{ passed: number, failed: number, skipped: number }} Counts
 * @typedef {Counts & { title: string, note?: string, failedNames?: string[], skippedNames?: string[] }} Row
 */

const FROM_CACHE = ['local-cache', 'local-cache-kept-existing', 'remote-cache'];

export const passed = (title) => ({ title, passed: 1, failed: 0, skipped: 0 });
export const failed = (title, reason) => ({ title, passed: 0, failed: 1, skipped: 0, failedNames: [reason] });
export const skipped = (title, reason) => ({ title, passed: 0, failed: 0, skipped: 1, skippedNames: [reason] });

/**
 * One row per check, and one per project for the tests.
 *
 * @param {{ project: string, target: string, projectRoot: string, status: string }[]} tasks as Nx reports them
 * @param {(task: { projectRoot: string, target: string, status: string }) => Counts | undefined} readResults Jest's own numbers of a project
 * @returns {Row[]}
 */
export function rowsOf(tasks, { targets, testTargets, readResults }) {
  const rows = [];
  for (const target of targets) {
    const ofTarget = tasks.filter((task) => task.target === target);
    if (testTargets.includes(target)) rows.push(...ofTarget.map((task) => testRow(task, readResults)));
    else if (ofTarget.length > 0) rows.push(checkRow(target, ofTarget));
  }
  return rows;
}

function checkRow(target, tasks) {
  const row = { title: target, passed: 0, failed: 0, skipped: 0, failedNames: [], skippedNames: [] };
  for (const task of tasks) {
    const outcome = outcomeOf(task);
    row[outcome]++;
    if (outcome !== 'passed') row[`${outcome}Names`].push(`${shortName(task)} ${outcome}`);
  }
  const cached = tasks.filter(isFromCache).length;
  return { ...row, note: cached ? `${cached} of ${tasks.length} from cache` : undefined };
}

function testRow(task, readResults) {
  const title = `${task.target} ${shortName(task)}`;
  const outcome = outcomeOf(task);
  if (outcome === 'skipped') return skipped(title, 'what it depends on has failed');
  const counts = readResults(task);
  if (!counts) return failed(title, 'ended without a result');
  // Jest may fail without a failed test: coverage below its threshold, a process that never ends, no test at all.
  if (outcome === 'failed' && counts.failed === 0) return { ...counts, ...onlyFailure(counts), title };
  if (outcome === 'passed' && counts.passed + counts.failed + counts.skipped === 0)
    return failed(title, 'has no tests');
  return { title, ...counts, note: isFromCache(task) ? 'from cache' : undefined };
}

const onlyFailure = (counts) => ({
  failed: 1,
  failedNames: [...(counts.failedNames ?? []), 'failed as a whole, see its output'],
});

function outcomeOf({ status }) {
  if (status === 'success' || FROM_CACHE.includes(status)) return 'passed';
  return status === 'skipped' ? 'skipped' : 'failed';
}

const isFromCache = ({ status }) => FROM_CACHE.includes(status);
const shortName = ({ project }) => project.replace(/^@redstart\//, '');

/** @param {Counts[]} rows */
export function sum(rows) {
  const add = (field) => rows.reduce((total, row) => total + row[field], 0);
  return { passed: add('passed'), failed: add('failed'), skipped: add('skipped') };
}

export const totalLine = (counts) => `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;

/**
 * What a command says of itself to .ci/run: one line per surroundings, each with its own totals or why nothing ran there, and the total over all as the last line.
 *
 * @param {Row[]} rows over everything
 * @param {{ title: string, rows?: Row[], reason?: string }[]} surroundings `reason`: nothing ran there
 */
export function reportOf(rows, surroundings) {
  const lines = surroundings.map(({ title, rows: own = [], reason }) =>
    reason === undefined ? `${title}: ${totalLine(sum(own))}` : `${title}: did not run: ${reason}`,
  );
  return [...lines, totalLine(sum(rows))].map((line) => `${line}\n`).join('');
}

/** The table that `npm test` ends with, and what failed or was skipped by name. */
export function describeRows(rows, { longest = 20 } = {}) {
  const width = Math.max(...rows.map(({ title }) => title.length));
  const table = rows.map((row) => `${row.title.padEnd(width)}  ${countsOf(row)}${row.note ? ` (${row.note})` : ''}`);
  return [...table, ...namesIn(rows, 'skipped', longest), ...namesIn(rows, 'failed', longest)];
}

function countsOf(row) {
  const words = ['passed', 'failed', 'skipped']
    .filter((field) => row[field] > 0)
    .map((field) => `${row[field]} ${field}`);
  return words.join(', ') || '0 passed';
}

function namesIn(rows, field, longest) {
  const names = rows.flatMap((row) => (row[`${field}Names`] ?? []).map((name) => `${field}: ${row.title}: ${name}`));
  const rest = names.length - longest;
  return rest > 0 ? [...names.slice(0, longest), `${field}: and ${rest} more`] : names;
}
