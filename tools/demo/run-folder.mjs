/**
 * The data of one run of the demo: a folder below .cache that goes when the run ends.
 *
 * Its name is the process that made it, so that the next run finds and removes what a killed one has left behind.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { identify, isRunning } from '../process-table.mjs';

/** @returns {string} an empty folder, removed when this process exits */
export function makeRunFolder(parent) {
  removeLeftovers(parent);
  const path = join(parent, nameOf(identify(process.pid)));
  mkdirSync(path, { recursive: true });
  // By then everything that wrote to it has ended: a command exits after its guardian.
  process.once('exit', () => remove(path));
  return path;
}

function removeLeftovers(parent) {
  mkdirSync(parent, { recursive: true });
  for (const name of readdirSync(parent)) {
    const [, pid] = /^(\d+)-/.exec(name) ?? [];
    if (pid && !isOwned(name, Number(pid))) remove(join(parent, name));
  }
}

const remove = (path) => rmSync(path, { recursive: true, force: true, maxRetries: 3 });

const nameOf = ({ pid, started }) => `${pid}-${encodeURIComponent(started)}`;

/** An id is given away again; together with the start time it is not. */
function isOwned(name, pid) {
  const found = identify(pid);
  return found !== undefined && name === nameOf(found) && isRunning(found);
}
