import assert from 'node:assert/strict';
import { it } from 'node:test';
import { faultsOf } from '../lock-check.mjs';

it('accepts a lock whose optional packages are there, beside their owner, above it or inside it', () => {
  const packages = {
    '': { optionalDependencies: { above: '1' } },
    'libs/a': { optionalDependencies: { above: '1' } },
    'node_modules/above': {},
    'node_modules/@scope/owner': { optionalDependencies: { inside: '1', above: '1' } },
    'node_modules/@scope/owner/node_modules/inside': { optionalDependencies: { above: '1' } },
    'node_modules/a': { link: true, resolved: 'libs/a' },
  };
  assert.deepEqual(faultsOf({ packages }), []);
});

it('names what is missing and who needs it', () => {
  const packages = {
    'node_modules/compiler': { optionalDependencies: { '@compiler/darwin-arm64': '1', '@compiler/linux-x64': '1' } },
    'node_modules/@compiler/linux-x64': {},
    'node_modules/other/node_modules/@compiler/darwin-arm64': {},
  };
  assert.deepEqual(faultsOf({ packages }), [
    'node_modules/compiler needs @compiler/darwin-arm64, which the lock lacks',
  ]);
});

it('names every address', () => {
  const packages = { 'node_modules/a': { resolved: 'https://registry.example/a.tgz' } };
  assert.deepEqual(faultsOf({ packages }), ['node_modules/a has an address in "resolved"']);
});
