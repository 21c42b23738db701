import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { it } from 'node:test';
import { identify, isRunning, readProcesses, signal, withDescendants } from '../process-table.mjs';

it('finds a process and everything below it', () => {
  const child = spawn('sleep', ['60']);
  const family = withDescendants([identify(process.pid)], readProcesses()).map(({ pid }) => pid);
  assert.ok(family.includes(process.pid) && family.includes(child.pid));
  child.kill('SIGKILL');
});

it('never signals a stranger that got the same process id', async () => {
  const child = spawn('sleep', ['60']);
  const stranger = { ...identify(child.pid), started: 'at another time' };
  assert.equal(isRunning(stranger), false);
  signal(stranger, 'SIGKILL');
  assert.equal(isRunning(identify(child.pid)), true);
  signal(identify(child.pid), 'SIGKILL');
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL']);
});
