/** Runs targets of the projects by Nx, and counts what came of them. */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { resultsFile } from './jest-summary-reporter.mjs';
import { nxEnvironment, startNx } from './nx.mjs';
import { cacheDirectory, root } from './paths.mjs';
import { exitCode } from './spawn.mjs';
import { failed, rowsOf, sum } from './totals.mjs';

const TEST_TARGETS = ['test', 'e2e'];

/**
 * @param {{ targets: string[], projects?: string[], redis?: { bin: string }, env?: NodeJS.ProcessEnv, cached?: boolean }} what `redis` is the server for the tests,
 *   `env` goes to them on top of ours; with `cached: false` everything runs
 * @returns {Promise<{ rows: import('./totals.mjs').Row[], ranNothing?: string }>} `ranNothing`: why there was not even one task
 */
export async function runTargets(guard, { targets, projects = [], redis, env = {}, cached = !isCi() }) {
  const report = join(cacheDirectory, `tasks-${process.pid}.json`);
  const began = Date.now();
  const args = ['run-many', '-t', ...targets, '--outputStyle=static', '--skip-sync'];
  if (projects.length > 0) args.push(`--projects=${projects.join(',')}`);
  if (!cached) args.push('--skip-nx-cache');
  const code = await exitCode(startNx(guard, args, { env: { ...testEnvironment(redis, report), ...env } }));
  const tasks = JSON.parse(takeText(report) || '[]');
  // Without a single task nothing has been checked, whatever the exit code says.
  if (tasks.length === 0) {
    const asked = projects.length > 0 ? ` for ${projects.join(', ')}` : '';
    const ranNothing = `Nx ran no task${asked} (exit code ${code})`;
    return { rows: [failed('nx', `${ranNothing}, see above`)], ranNothing };
  }
  const readResults = (task) => resultsOf(task, began);
  const rows = rowsOf(tasks, { targets, testTargets: TEST_TARGETS, readResults });
  if (code !== 0 && sum(rows).failed === 0) rows.push(failed('nx', `exit code ${code} although no task has failed`));
  return { rows };
}

/** Tests bring their own servers: the ones of the user's environment are out of their reach. */
function testEnvironment(redis, report) {
  const env = { ...nxEnvironment(), REDSTART_TASK_REPORT: report };
  delete env.REDIS_URL;
  delete env.DATABASE_URL;
  if (redis) env.REDIS_SERVER_BIN = redis.bin;
  return env;
}

/** A task that ran just now must have written its numbers just now; older ones are of an earlier run. */
function resultsOf({ projectRoot, target, status }, began) {
  const file = resultsFile(join(root, projectRoot), target);
  try {
    const ranNow = status === 'success' || status === 'failure';
    if (ranNow && statSync(file).mtimeMs < began) return undefined;
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** A file's text, which is taken away; empty when there is none. */
export function takeText(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  } finally {
    rmSync(file, { force: true });
  }
}

/** @returns {boolean} whether everything is to run, whatever the cache holds */
export const isCi = () => Boolean(process.env.CI) && !['false', '0'].includes(process.env.CI);
