import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { takeLock, waitForLock } from '../lock-file.mjs';

let path;
beforeEach(() => (path = join(mkdtempSync(join(tmpdir(), 'redstart-lock-')), 'held', 'start.lock')));
afterEach(() => rmSync(join(path, '..', '..'), { recursive: true, force: true }));

it('is held by one at a time', () => {
  const lock = takeLock(path);
  assert.deepEqual(takeLock(path), { holder: process.pid, isEnding: false });
  lock.release();
  assert.equal(existsSync(path), false);
  takeLock(path).release();
});

it('of a process that was killed counts for nothing', async () => {
  const child = spawn('sleep', ['60']);
  takeLock(path, [child.pid]);
  assert.deepEqual(takeLock(path), { holder: child.pid, isEnding: false });
  child.kill('SIGKILL');
  await once(child, 'exit');
  takeLock(path).release();
});

it('is held until the last of several holders is gone, and waited for', async () => {
  const ends = spawn('sleep', ['60']);
  const stays = spawn('sleep', ['60']);
  takeLock(path, [ends.pid, stays.pid]);
  ends.kill('SIGKILL');
  await once(ends, 'exit');
  assert.deepEqual(takeLock(path), { holder: stays.pid, isEnding: true });
  const waiting = waitForLock(path);
  stays.kill('SIGKILL');
  (await waiting).release();
});

it('of a process id that belongs to somebody else by now counts for nothing', () => {
  takeLock(path).release();
  writeFileSync(path, JSON.stringify([{ pid: process.pid, started: 'long ago' }]));
  takeLock(path).release();
});

it('that cannot be read counts for nothing', () => {
  takeLock(path).release();
  writeFileSync(path, '{ half a');
  takeLock(path).release();
});
