import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { parseArguments, UsageError } from '../arguments.mjs';
import { isSupported, SUPPORTED, unsupportedMessage } from '../node-version.mjs';
import { root } from '../paths.mjs';
import { plainEnvironment } from './fixtures/start.mjs';

it('understands the commands and the projects of one', () => {
  assert.deepEqual(parseArguments(['start']), { command: 'start', projects: [], servers: [], words: [], help: false });
  assert.equal(parseArguments(['demo']).command, 'demo');
  assert.deepEqual(parseArguments(['test', '--project', 'a', '--project=b,c']).projects, ['a', 'b', 'c']);
  assert.deepEqual(parseArguments(['test:servers', 'redis-8', 'valkey-9']).servers, ['redis-8', 'valkey-9']);
  assert.deepEqual(parseArguments(['bench', 'lock', '--rounds', '3']).words, ['lock', '--rounds', '3']);
  assert.deepEqual(parseArguments(['bench:peers', '--save']).words, ['--save']);
});

for (const words of [
  [],
  ['strat'],
  ['start', '--project', 'a'],
  ['demo', '5'],
  ['test', '--project'],
  ['test', '--fast'],
  ['test', 'redis-lock'],
  ['test:servers', 'redis-6'],
  ['test:cluster', 'redis-8'],
]) {
  it(`refuses "${words.join(' ')}"`, () => assert.throws(() => parseArguments(words), UsageError));
}

it('prints the usage with the error, and exits with 1', () => {
  const run = spawnSync(process.execPath, [join(root, 'tools', 'run.mjs'), 'test', '--fast'], {
    encoding: 'utf8',
    env: plainEnvironment(),
  });
  assert.equal(run.status, 1);
  assert.match(run.stderr, /npm test does not know "--fast"\.\n\nUsage:/);
});

it('supports exactly the versions of Node that package.json promises', () => {
  assert.equal(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node, SUPPORTED);
  for (const version of ['v20.19.0', 'v20.20.2', 'v22.12.0', 'v24.0.0', 'v25.1.0'])
    assert.ok(isSupported(version), version);
  for (const version of ['v12.22.0', 'v18.20.0', 'v20.18.3', 'v21.7.0', 'v22.11.0', 'v23.5.0']) {
    assert.ok(!isSupported(version), version);
  }
  assert.match(unsupportedMessage('v18.20.0'), /This is Node\.js v18\.20\.0; Redstart needs \^20\.19/);
});
