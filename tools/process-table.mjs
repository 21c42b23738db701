/**
 * Reads the machine's process table: /proc on Linux, `ps` elsewhere.
 *
 * A process is identified by its id together with its start time, because ids are reused: a signal meant for a process that has
 * ended must never reach the stranger that got its number.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/**
 * @typedef {{ pid: number, started: string }} Identity
 * @typedef {Identity & { parent: number, zombie: boolean }} Process
 */

/** Every process that this run starts inherits this variable: on Linux it finds them even after their parents have ended. */
export const RUN_MARK = 'REDSTART_RUN';

const onLinux = process.platform === 'linux';

/** @returns {Map<number, Process>} */
export function readProcesses() {
  const processes = onLinux ? readProc() : readPs();
  return new Map(processes.map((one) => [one.pid, one]));
}

/** @returns {Process | undefined} */
export function readProcess(pid) {
  return onLinux ? readStat(pid) : readPs(pid)[0];
}

/** @returns {Identity | undefined} */
export function identify(pid) {
  const found = readProcess(pid);
  return found && { pid, started: found.started };
}

/** A zombie counts as gone: it runs nothing and holds nothing. */
export function isRunning(identity, processes = undefined) {
  const found = processes ? processes.get(identity.pid) : readProcess(identity.pid);
  return found !== undefined && found.started === identity.started && !found.zombie;
}

/** Whether a process with this id exists at all, whoever owns it. */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Sends the signal only if the process is still the one that was meant. */
export function signal(identity, name) {
  if (!isRunning(identity)) return;
  try {
    process.kill(identity.pid, name);
  } catch {
    // It ended between the look and the signal, which is what the signal was for.
  }
}

/** The given processes and everything below them, without those that have ended. */
export function withDescendants(roots, processes) {
  const family = new Map();
  const queue = roots.filter((root) => isRunning(root, processes)).map(({ pid }) => processes.get(pid));
  for (let member = queue.pop(); member; member = queue.pop()) {
    if (family.has(member.pid)) continue;
    family.set(member.pid, member);
    for (const other of processes.values()) if (other.parent === member.pid && !other.zombie) queue.push(other);
  }
  return [...family.values()];
}

/** The processes that carry the mark in the environment they were started with. Linux only: elsewhere parentage has to do. */
export function withMark(mark, processes) {
  if (!onLinux) return [];
  return [...processes.values()].filter((one) => !one.zombie && environmentOf(one.pid).includes(mark));
}

/** The words that the process was started with. */
export function commandOf(pid) {
  if (!onLinux) return ps(['-o', 'command=', '-p', String(pid)]).trim();
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
}

function environmentOf(pid) {
  const variables = read(`/proc/${pid}/environ`).split('\0');
  return variables.find((variable) => variable.startsWith(`${RUN_MARK}=`)) ?? '';
}

function readProc() {
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return ids.map((id) => readStat(Number(id))).filter((one) => one !== undefined);
}

function readStat(pid) {
  const stat = read(`/proc/${pid}/stat`);
  if (!stat) return undefined;
  // The program's name stands in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, parent] = fields;
  return { pid, parent: Number(parent), started: fields[19], zombie: state === 'Z' || state === 'X' };
}

function readPs(pid = undefined) {
  const which = pid === undefined ? ['-ax'] : ['-p', String(pid)];
  const lines = ps([...which, '-o', 'pid=,ppid=,stat=,lstart=']).split('\n');
  return lines
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.+?)\s*$/.exec(line))
    .filter((match) => match !== null)
    .map(([, id, parent, state, started]) => ({
      pid: Number(id),
      parent: Number(parent),
      started,
      zombie: state.startsWith('Z'),
    }));
}

const ps = (args) => spawnSync('ps', args, { encoding: 'utf8' }).stdout ?? '';

/** A process may end while we read about it, and others' environments are closed to us: both read as nothing. */
function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
