import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { isInstalled, wantedStamp, writableNpmCache, writeStamp } from '../install.mjs';

let directory;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'redstart-install-'));
  writeFileSync(join(directory, 'package-lock.json'), '{ "packages": {} }');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('is due without node_modules, and with one of unknown origin', () => {
  assert.equal(isInstalled(directory), false);
  mkdirSync(join(directory, 'node_modules'));
  assert.equal(isInstalled(directory), false);
});

it('is not due again until the lock changes', () => {
  mkdirSync(join(directory, 'node_modules'));
  writeStamp(directory);
  assert.equal(isInstalled(directory), true);
  writeFileSync(join(directory, 'package-lock.json'), '{ "packages": { "": {} } }');
  assert.equal(isInstalled(directory), false);
});

it('is due for another Node', (t) => {
  const before = wantedStamp(directory);
  const { version } = process;
  t.after(() => Object.defineProperty(process, 'version', { value: version }));
  Object.defineProperty(process, 'version', { value: 'v99.0.0' });
  assert.notEqual(wantedStamp(directory), before);
});

it("uses npm's cache where it may write, and one in this checkout where it may not", () => {
  assert.deepEqual(writableNpmCache({ npm_config_cache: join(directory, 'made', 'later') }), {});
  assert.deepEqual(writableNpmCache({}, directory), {});
  assert.match(writableNpmCache({}, join(directory, 'package-lock.json', 'no-home')).npm_config_cache, /\.cache.npm$/);
});
