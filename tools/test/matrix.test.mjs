import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { SetupError } from '../errors.mjs';
import { matrix, nearTier, olderIoredis, otherServers, sixNodeCluster } from '../matrix.mjs';
import { root, versionOf } from '../paths.mjs';
import { SERVERS } from '../servers.mjs';

let place, reported;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'redstart-matrix-'));
  reported = process.env.REDSTART_TOTAL_FILE;
  process.env.REDSTART_TOTAL_FILE = join(place, 'report');
});
afterEach(() => {
  if (reported === undefined) delete process.env.REDSTART_TOTAL_FILE;
  else process.env.REDSTART_TOTAL_FILE = reported;
  rmSync(place, { recursive: true, force: true });
});

/** What stands in for Nx: writes down what it was asked for, and reports what its run is to have come to. */
const NX = `
  import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
  const [place, projectRoot, behaviour, ...asked] = process.argv.slice(1);
  appendFileSync(place + '/asked', JSON.stringify({ asked, env: process.env }) + '\\n');
  if (behaviour === 'crashes') process.exit(70);
  mkdirSync(place + '/.cache', { recursive: true });
  writeFileSync(place + '/.cache/test-results.json', JSON.stringify({ passed: 7, failed: 0, skipped: 1, skippedNames: ['one'] }));
  writeFileSync(process.env.REDSTART_TASK_REPORT, JSON.stringify([{ project: '@redstart/a', target: 'test', projectRoot, status: 'success' }]));
`;

/** Runs a command of the matrix. */
async function run(surroundings, { behaviour = 'runs', request = { servers: [] } } = {}) {
  const lines = [];
  const guard = {
    ending: false,
    start: (command, [, ...asked], { env }) =>
      spawn(command, ['--input-type=module', '-e', NX, '--', place, relative(root, place), behaviour, ...asked], {
        env,
      }),
  };
  const code = await matrix(surroundings, async () => {})(request, guard, (line) => lines.push(line));
  const asked = join(place, 'asked');
  return {
    code,
    lines,
    report: readFileSync(join(place, 'report'), 'utf8').trimEnd().split('\n'),
    runs: existsSync(asked)
      ? readFileSync(asked, 'utf8')
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line))
      : [],
  };
}

const obtained = async (name) => ({ bin: `/servers/${name}`, title: `Server of ${name}` });
const theOnlyOne = async () => ({ bin: '/servers/first', title: 'Redis 7.0.15' });
const current = `ioredis ${versionOf('ioredis')}`;

describe('the suites on other servers', () => {
  it('run on every one, with the sample API and its processes, and nothing comes from the cache', async () => {
    const { code, runs, report } = await run((request, say) => otherServers(request, say, obtained));
    assert.deepEqual(
      runs.map(({ env }) => env.REDIS_SERVER_BIN),
      Object.keys(SERVERS).map((name) => `/servers/${name}`),
    );
    for (const { asked, env } of runs) {
      assert.deepEqual(asked.slice(0, 4), ['run-many', '-t', 'test', 'e2e']);
      assert.ok(asked.includes('--projects=libs/*,apps/sample-api') && asked.includes('--skip-nx-cache'));
      assert.ok(env.REDIS_URL === undefined && env.DATABASE_URL === undefined && env.REDSTART_IOREDIS === undefined);
    }
    assert.equal(code, 0);
    assert.deepEqual(report, [
      ...Object.keys(SERVERS).map(
        (name) =>
          `libraries, sample API and its processes on Server of ${name}, ${current}: 7 passed, 0 failed, 1 skipped`,
      ),
      '21 passed, 0 failed, 3 skipped',
    ]);
  });

  it('run only on those that are named', async () => {
    const { runs } = await run((request, say) => otherServers(request, say, obtained), {
      request: { servers: ['valkey-9'] },
    });
    assert.deepEqual(
      runs.map(({ env }) => env.REDIS_SERVER_BIN),
      ['/servers/valkey-9'],
    );
  });

  it('have the older ioredis where it is asked for, and the processes what is installed', async () => {
    process.env.REDSTART_IOREDIS = '5';
    try {
      const { runs, report } = await run((request, say) => otherServers(request, say, obtained), {
        request: { servers: ['valkey-9'] },
      });
      assert.deepEqual(
        runs.map(({ asked, env }) => [
          env.REDIS_SERVER_BIN,
          env.REDSTART_IOREDIS,
          asked.includes('test') && asked.includes('--projects=libs/*,apps/sample-api'),
          asked.includes('e2e') && asked.includes('--projects=apps/sample-api'),
        ]),
        [
          ['/servers/valkey-9', '5', true, false],
          ['/servers/valkey-9', '5', false, true],
        ],
      );
      const older = `ioredis ${versionOf('ioredis-5')}`;
      assert.ok(report[0].startsWith(`libraries and sample API on Server of valkey-9, ${older}: 7 passed`), report[0]);
      assert.ok(report[1].startsWith(`the sample API's processes on Server of valkey-9, ${current}: `), report[1]);
    } finally {
      delete process.env.REDSTART_IOREDIS;
    }
  });

  it('count a server that cannot be had as failed, say so, and go on with the next', async () => {
    const obtain = async (name) => {
      if (name === 'redis-8') throw new SetupError('redis-8 could not be obtained: no mirror.\nDo this.');
      return obtained(name);
    };
    const { code, runs, report, lines } = await run((request, say) => otherServers(request, say, obtain));
    assert.equal(code, 1);
    assert.equal(runs.length, Object.keys(SERVERS).length - 1);
    assert.equal(
      report[Object.keys(SERVERS).indexOf('redis-8')],
      'libraries, sample API and its processes on redis-8: did not run: redis-8 could not be obtained: no mirror.',
    );
    assert.equal(report.at(-1), '14 passed, 1 failed, 2 skipped');
    assert.ok(lines.some((line) => line.startsWith('failed: set-up on redis-8: redis-8 could not be obtained')));
  });

  it('did not run where Nx ran nothing', async () => {
    const { code, report } = await run((request, say) => otherServers(request, say, obtained), {
      behaviour: 'crashes',
      request: { servers: ['valkey-8'] },
    });
    assert.equal(code, 1);
    assert.match(report[0], /on Server of valkey-8, .*: did not run: Nx ran no task for .* \(exit code 70\)$/);
    assert.equal(report[1], '0 passed, 1 failed, 0 skipped');
  });
});

it('the Cluster has replicas, and only what is on a Cluster is asked for', async () => {
  const { runs, report } = await run((request, say) => sixNodeCluster(request, say, theOnlyOne));
  const { asked, env } = runs[0];
  assert.ok(asked.includes('--projects=libs/*') && !asked.includes('e2e'));
  assert.deepEqual([env.REDSTART_TOPOLOGY, env.REDSTART_CLUSTER_REPLICAS, env.NX_PARALLEL], ['cluster', '1', '1']);
  assert.equal(
    report[0],
    `libraries' suites for Clusters on six-node Cluster of Redis 7.0.15, ${current}: 7 passed, 0 failed, 1 skipped`,
  );
});

it('the near tier is on, for the cache alone', async () => {
  const { runs, report } = await run((request, say) => nearTier(request, say, theOnlyOne));
  assert.ok(runs[0].asked.includes('--projects=@redstart/redis-cache') && !runs[0].asked.includes('e2e'));
  assert.equal(runs[0].env.REDSTART_NEAR, 'on');
  assert.equal(
    report[0],
    `the cache's suite with its near tier on Redis 7.0.15, ${current}: 7 passed, 0 failed, 1 skipped`,
  );
});

it('the older ioredis is asked for, and named by its version', async () => {
  const { runs, report } = await run((request, say) => olderIoredis(request, say, theOnlyOne));
  assert.equal(runs[0].env.REDSTART_IOREDIS, '5');
  assert.ok(runs[0].asked.includes('--projects=libs/*,apps/sample-api') && !runs[0].asked.includes('e2e'));
  assert.match(report[0], /^libraries and sample API on Redis 7\.0\.15, ioredis 5\.\d+\.\d+: 7 passed/);
});
