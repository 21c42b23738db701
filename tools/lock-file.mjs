/**
 * A lock between the commands of one checkout: a file that names the processes that hold it.
 *
 * A holder that was killed leaves its file behind. Such a file counts for nothing, because the processes it names, told by id
 * and start time, are gone.
 */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isRunning } from './process-table.mjs';

/**
 * Takes the lock, or says who has it.
 *
 * @param {string} path
 * @param {number[]} pids the processes that hold it together: it is free when all of them are gone
 * @returns {{ release: () => void } | { holder: number, isEnding: boolean }} `isEnding`: the first of them is gone already
 */
export function takeLock(path, pids = [process.pid]) {
  mkdirSync(dirname(path), { recursive: true });
  const content = JSON.stringify(pids.map(identify).filter(Boolean));
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, content);
  try {
    for (;;) {
      try {
        // A link appears with its content, and only if the name is free: nobody ever reads half a lock.
        linkSync(draft, path);
        return { release: () => releaseLock(path, content) };
      } catch (error) {
        if (error.code !== 'EEXIST') throw error;
      }
      const found = readLock(path);
      const at = found.holders.findIndex((one) => isRunning(one));
      if (at >= 0) return { holder: found.holders[at].pid, isEnding: at > 0 };
      removeStale(path, found.content);
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Takes the lock, waiting while somebody else has it, or only `while` a condition holds. `onWait` is called once. */
export async function waitForLock(path, { pids, while: worthIt = () => true, onWait = () => {} } = {}) {
  for (let waited = false; ; waited = true) {
    const lock = takeLock(path, pids);
    if (lock.release || !worthIt(lock)) return lock;
    if (!waited) onWait(lock.holder);
    await sleep(200);
  }
}

function releaseLock(path, content) {
  if (readLock(path).content === content) rmSync(path, { force: true });
}

/** Two commands may find the same stale lock: whoever moves it away makes sure that it moved that one and not a fresh lock. */
function removeStale(path, content) {
  const aside = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (readLock(aside).content !== content) {
    try {
      linkSync(aside, path);
    } catch {
      // A third command has taken the lock meanwhile; the holder that we moved will find that it lost the race.
    }
  }
  rmSync(aside, { force: true });
}

function readLock(path) {
  try {
    const content = readFileSync(path, 'utf8');
    return { content, holders: JSON.parse(content) };
  } catch {
    return { content: '', holders: [] };
  }
}
