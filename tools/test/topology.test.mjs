/** Jest itself with the workspace's preset: which tests belong to a run on a Cluster, and how they are counted. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { cacheDirectory, root } from '../paths.mjs';
import { plainEnvironment } from './fixtures/start.mjs';

const SPEC = `
  describe('release [standalone]', () => { it('one', () => {}); it.skip('later', () => {}); });
  describe('release [cluster]', () => { it('one', () => {}); it('two', () => {}); it.skip('later', () => {}); });
  describe('durations', () => { beforeAll(() => { throw new Error('is not asked for on a Cluster'); }); it('are parsed', () => {}); });
`;

let place;
beforeEach(() => {
  mkdirSync(cacheDirectory, { recursive: true });
  // Inside the workspace, where the preset's transformer is found.
  place = mkdtempSync(join(cacheDirectory, 'topology-'));
  mkdirSync(join(place, 'test'));
  writeFileSync(join(place, 'test', 'release.spec.ts'), SPEC);
  writeFileSync(
    join(place, 'jest.config.mjs'),
    "import preset from '../../jest.preset.mjs';\nexport default { ...preset, rootDir: import.meta.dirname };",
  );
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

function countsWith(REDSTART_TOPOLOGY) {
  const { stderr } = spawnSync(process.execPath, [join(root, 'node_modules', 'jest', 'bin', 'jest.js')], {
    cwd: place,
    encoding: 'utf8',
    env: plainEnvironment({
      NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
      NX_TASK_TARGET_TARGET: 'test',
      ...(REDSTART_TOPOLOGY !== undefined && { REDSTART_TOPOLOGY }),
    }),
  });
  const file = join(place, '.cache', 'test-results.json');
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    throw new Error(`Jest has left no results:\n${stderr}`);
  }
}

it('a run on a Cluster holds what is on a Cluster, and what of that could not run is skipped', () => {
  assert.deepEqual(countsWith('cluster'), {
    passed: 2,
    failed: 0,
    skipped: 1,
    failedNames: [],
    skippedNames: ['release [cluster] later'],
  });
});

it('everything else goes with standalone, and is there when nothing is asked for', () => {
  for (const topology of ['standalone', 'cluster, standalone', undefined]) {
    const { passed, failed, skipped } = countsWith(topology);
    assert.deepEqual({ passed, failed, skipped }, { passed: 3, failed: 1, skipped: 2 }, topology);
  }
});
