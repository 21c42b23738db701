import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { root } from '../paths.mjs';
import { program } from './fixtures/programs.mjs';
import { plainEnvironment } from './fixtures/start.mjs';

let place;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'redstart-ci-'));
  mkdirSync(join(place, '.ci'));
  copyFileSync(join(root, '.ci', 'run'), join(place, '.ci', 'run'));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

const report = (...lines) => `printf '%s\\n' ${lines.map((line) => `"${line}"`).join(' ')} > "$REDSTART_TOTAL_FILE"`;
const green = {
  test: report('specs on Redis 7.0.15: 90 passed, 0 failed, 1 skipped', '100 passed, 0 failed, 1 skipped'),
  'test:servers': report(
    'Valkey 9.1.2, ioredis 5.11.1: 17 passed, 0 failed, 0 skipped',
    '17 passed, 0 failed, 0 skipped',
  ),
  'test:cluster': report('six-node Cluster: 5 passed, 0 failed, 2 skipped', '5 passed, 0 failed, 2 skipped'),
  'test:near': report('near tier: 3 passed, 0 failed, 0 skipped', '3 passed, 0 failed, 0 skipped'),
};

/** Runs the script with an npm that answers each command with one of these scripts. */
function run(answers = {}) {
  const cases = Object.entries({ ...green, ...answers }).map(([name, script]) => `*" ${name} "*) ${script};;`);
  program(join(place, 'bin', 'npm'), `echo "npm has words of its own"\ncase " $* " in\n${cases.join('\n')}\nesac`);
  const path = [join(place, 'bin'), dirname(process.execPath), process.env.PATH].join(delimiter);
  const { status, stdout } = spawnSync('bash', [join(place, '.ci', 'run')], {
    encoding: 'utf8',
    env: plainEnvironment({ PATH: path }),
  });
  const lines = stdout.trimEnd().split('\n');
  return {
    status,
    total: lines.at(-1),
    ran: lines.slice(lines.indexOf('What ran:') + 1, -1).map((line) => line.trim()),
  };
}

it('says of all surroundings what ran there, and adds up', () => {
  assert.deepEqual(run(), {
    status: 0,
    ran: [
      'specs on Redis 7.0.15: 90 passed, 0 failed, 1 skipped',
      'six-node Cluster: 5 passed, 0 failed, 2 skipped',
      'near tier: 3 passed, 0 failed, 0 skipped',
      'Valkey 9.1.2, ioredis 5.11.1: 17 passed, 0 failed, 0 skipped',
    ],
    total: '125 passed, 0 failed, 3 skipped',
  });
});

it('leaves out the faults that strike several processes only behind Redis and the Cluster, where the oldest ioredis runs on another server', () => {
  const { ran } = run(
    Object.fromEntries(
      Object.keys(green).map((name) => [
        name,
        report(
          `${name}: chaos ${'$'}{REDSTART_CHAOS:-on}, ioredis ${'$'}{REDSTART_IOREDIS:-6}`,
          '1 passed, 0 failed, 0 skipped',
        ),
      ]),
    ),
  );
  assert.deepEqual(ran, [
    'test: chaos on, ioredis 6',
    'test:cluster: chaos on, ioredis 6',
    'test:near: chaos on, ioredis 6',
    'test:servers: chaos off, ioredis 5',
  ]);
});

it('never claims surroundings that could not be had', () => {
  const { status, ran, total } = run({
    'test:servers': `${report('valkey-9: did not run: no mirror', '0 passed, 1 failed, 0 skipped')}; exit 1`,
  });
  assert.equal(status, 1);
  assert.equal(ran[3], 'valkey-9: did not run: no mirror');
  assert.ok(!ran.join().includes('Valkey 9.1.2'));
  assert.equal(total, '108 passed, 1 failed, 3 skipped');
});

it('counts a command that crashes as failed, and names it, and the others go on', () => {
  for (const [script, code] of [
    ['exit 3', 3],
    ['kill -9 $$', 137],
    ['exit 0', 0],
    [`echo "5 passed, 0 fai" > "$REDSTART_TOTAL_FILE"`, 0],
  ]) {
    const { status, ran, total } = run({ 'test:cluster': script });
    assert.equal(status, code || 1, script);
    assert.equal(ran[1], `npm run test:cluster: did not run: it ended without totals (exit code ${code})`);
    assert.equal(ran[3], 'Valkey 9.1.2, ioredis 5.11.1: 17 passed, 0 failed, 0 skipped');
    assert.equal(total, '120 passed, 1 failed, 1 skipped');
  }
});

it('counts a failure that its command has not counted', () => {
  const { status, ran, total } = run({ 'test:servers': `${green['test:servers']}; exit 4` });
  assert.equal(status, 4);
  assert.equal(
    ran.at(-1),
    'npm run test:servers -- valkey-9: ended with exit code 4 although nothing in it had failed',
  );
  assert.equal(total, '125 passed, 1 failed, 3 skipped');
});
