/**
 * `npm test`: every check and every test, one after the other, and one line of totals at the end.
 *
 * A failed step does not stop the next: whoever runs this wants to know everything that is wrong. Only what cannot run is left
 * out, and that is printed and counted as skipped.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './errors.mjs';
import { installDependencies } from './install.mjs';
import { isCi, runTargets, takeText } from './nx-tasks.mjs';
import { keepOnlyOwnCache, startNx } from './nx.mjs';
import { cacheDirectory, root, versionOf } from './paths.mjs';
import { obtainRedis } from './redis-binary.mjs';
import { exitCode } from './spawn.mjs';
import { conclude, seconds } from './results.mjs';
import { readTap } from './tap.mjs';
import { failed, passed, skipped, sum } from './totals.mjs';

/** Each project's lint can come from the cache. Where nothing does, one process for all of them takes half the time: it reads the libraries' types once. */
const lintTarget = (projects) => (isCi() && projects.length === 0 ? 'lint-all' : 'lint');
const TEST_TARGETS = ['test', 'e2e'];
const PRETTIER = join(root, 'node_modules', 'prettier', 'bin', 'prettier.cjs');

/** @returns {Promise<number>} 0 when nothing has failed */
export async function test({ projects }, guard, say) {
  const rows = [];
  const surroundings = [];
  const began = performance.now();
  try {
    await prepare(guard, say);
    await runSteps({ rows, surroundings, projects }, guard, say);
  } catch (error) {
    if (guard.ending || !(error instanceof SetupError)) throw error;
    say(`\n${error.message}`);
    rows.push(failed('set-up', error.message.split('\n')[0]), skipped('checks and tests', 'the set-up has failed'));
    surroundings.push({ title: 'checks and specs', reason: error.message.split('\n')[0] });
  }
  return conclude(rows, surroundings, began, say);
}

async function prepare(guard, say) {
  say(`Node.js ${process.version}`);
  mkdirSync(cacheDirectory, { recursive: true });
  await installDependencies(guard, say);
}

async function runSteps({ rows, surroundings, projects }, guard, say) {
  const step = async (title, run) => {
    say(`\n── ${title}`);
    const began = performance.now();
    const found = [await run()].flat();
    rows.push(...found);
    const { failed: failures } = sum(found);
    say(`── ${title}: ${failures === 0 ? 'ok' : `${failures} failed`} after ${seconds(began)}`);
  };
  const program = (title, args) => async () => {
    const child = guard.start(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    const code = await exitCode(child);
    return code === 0 ? passed(title) : failed(title, `exit code ${code}, see above`);
  };
  keepOnlyOwnCache();
  await step('format', program('format', [PRETTIER, '--check', '--log-level=warn', '.']));
  await step('lock file', program('lock file', [join(root, 'tools', 'lock-check.mjs')]));
  await step('references', () => checkReferences(guard));
  if (projects.length === 0) await step('tools', () => testTools(guard));
  const redis = await findRedis(rows, say);
  const checks = [lintTarget(projects), 'typecheck', 'build'];
  const targets = redis ? [...checks, ...TEST_TARGETS] : checks;
  await step(targets.join(', '), async () => {
    const ran = await runTargets(guard, { targets, projects, redis });
    surroundings.push(...surroundingsOf(redis, rows, ran));
    return ran.rows;
  });
}

/** Nx itself checks this before it runs tasks, but not in CI. */
async function checkReferences(guard) {
  const code = await exitCode(startNx(guard, ['sync:check']));
  return code === 0
    ? passed('references')
    : failed('references', `nx sync:check has failed (exit code ${code}), see above`);
}

/** The tests of these tools, run by Node itself, since they have to work before anything is installed. */
async function testTools(guard) {
  const directory = join(root, 'tools', 'test');
  const files = readdirSync(directory).filter((name) => name.endsWith('.test.mjs'));
  const report = join(cacheDirectory, `tools-${process.pid}.tap`);
  const reporters = [
    ['spec', 'stdout'],
    ['tap', report],
  ].flatMap(([name, destination]) => [`--test-reporter=${name}`, `--test-reporter-destination=${destination}`]);
  const args = ['--test', ...reporters, ...files.map((file) => join(directory, file))];
  const code = await exitCode(guard.start(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] }));
  const counts = readTap(takeText(report));
  if (!counts) return failed('tools', `ended without a result (exit code ${code})`);
  if (code !== 0 && counts.failed === 0) return failed('tools', `failed as a whole (exit code ${code})`);
  return { title: 'tools', ...counts };
}

/** The checks need no Redis; the specs ran on one, or didn't run at all. */
function surroundingsOf(redis, checks, { rows, ranNothing }) {
  const isSpecs = ({ title }) => TEST_TARGETS.some((target) => title.startsWith(`${target} `));
  const own = {
    title: 'checks',
    rows: [...checks.filter((row) => !isSpecs(row)), ...rows.filter((row) => !isSpecs(row))],
  };
  if (!redis) return [own, { title: 'specs and end-to-end tests', reason: 'there is no Redis to test with' }];
  const title = `specs and end-to-end tests on ${redis.title}, ioredis ${versionOf('ioredis')}`;
  return [own, { title, reason: ranNothing, rows: rows.filter(isSpecs) }];
}

async function findRedis(rows, say) {
  try {
    const redis = await obtainRedis({ say });
    say(`\n${redis.title} for the tests: ${redis.bin} (${redis.source})`);
    return redis;
  } catch (error) {
    say(`\n${error.message}`);
    rows.push(failed('Redis', 'there is none to test with, see above'));
    rows.push(...TEST_TARGETS.map((target) => skipped(`${target} of every project`, 'there is no Redis to test with')));
    return undefined;
  }
}
