import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { root } from '../paths.mjs';

const read = (path) => JSON.parse(readFileSync(join(root, path), 'utf8'));

it('one lint for all leaves no workspace out, and reads the types of built libraries', () => {
  const { command, dependsOn, cache } = read('tools/project.json').targets['lint-all'];
  const linted = command.split(' ').slice(2);
  for (const workspace of read('package.json').workspaces)
    assert.ok(linted.includes(workspace.replace(/\/\*$/, '')), workspace);
  assert.deepEqual(dependsOn, [{ projects: '*', target: 'build' }]);
  // It names files of every project, and Nx would only look at those of this one.
  assert.equal(cache, false);
});
