/**
 * Sees to it that nothing outlives a command: no process, no listening port.
 *
 * A program of its own, started by guard.mjs in a session of its own, because the command itself may be killed with SIGKILL and
 * then has no chance to clean up.
 *
 * Its life: it WATCHES until the command asks it to end, or dies (the pipe between them closes), or the `npm` that started the
 * command dies. Then it ENDS everything that the command started, jobs first, then the services that the jobs use: SIGTERM, and
 * SIGKILL for what is still there after the grace period. It exits when nothing is left.
 *
 * Lines of JSON on stdin:
 *   { owner, mark, grace }   the command itself, the mark that its processes carry, and the patience in milliseconds
 *   { watch: identity }      a process without which the command has no reason to live
 *   { job: identity } · { service: identity }
 *   { end: true }
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, readProcesses, signal, withDescendants, withMark } from './process-table.mjs';

const POLL = process.platform === 'linux' ? 200 : 1000;
const LOOK_AGAIN = 40;

const command = { owner: undefined, mark: undefined, grace: 5000 };
const watched = [];
const jobs = [];
const services = [];
let ending;

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => hear(JSON.parse(line)));
lines.on('close', () => end());
// A Ctrl-C in the terminal is the command's to handle: the guardian has to stay until the last process is gone.
for (const name of ['SIGINT', 'SIGHUP']) process.on(name, () => {});
process.on('SIGTERM', () => end());
// The command's own output may be gone by now; that is no reason to stop cleaning up.
process.on('uncaughtException', () => {});

const watch = setInterval(() => {
  if (watched.every((one) => isRunning(one))) return;
  if (command.owner) signal(command.owner, 'SIGTERM');
  end({ ownerToo: true });
}, POLL);

function hear({ owner, mark, grace, watch: ancestor, job, service, end: asked }) {
  if (owner) Object.assign(command, { owner, mark, grace });
  if (ancestor) watched.push(ancestor);
  if (job) jobs.push(job);
  if (service) services.push(service);
  if (asked) end();
}

function end({ ownerToo = false } = {}) {
  clearInterval(watch);
  ending ??= endEverything(ownerToo).finally(() => process.exit(0));
}

async function endEverything(ownerToo) {
  await endAll(() => {
    const spared = new Set(running(services).map(({ pid }) => pid));
    return everything().filter(({ pid }) => !spared.has(pid));
  });
  await endAll(everything);
  if (ownerToo && command.owner) {
    await sleep(POLL);
    signal(command.owner, 'SIGKILL');
  }
}

/** Looks anew each time, since a process that is being ended may start others. */
async function endAll(find) {
  const deadline = performance.now() + command.grace;
  const asked = new Set();
  for (let left = find(); left.length > 0; left = find()) {
    const impatient = performance.now() > deadline;
    for (const one of left) {
      if (impatient) signal(one, 'SIGKILL');
      else if (!asked.has(one.pid)) signal(one, 'SIGTERM');
      asked.add(one.pid);
    }
    // A process in an uninterruptible state survives even SIGKILL; waiting for it for ever would help nobody.
    if (performance.now() > deadline + 5000) return;
    await sleep(LOOK_AGAIN);
  }
}

function everything() {
  const processes = readProcesses();
  const marked = command.mark ? withMark(command.mark, processes) : [];
  return withDescendants([...jobs, ...services, ...marked], processes).filter(isNotOurs);
}

function running(identities) {
  return withDescendants(identities, readProcesses()).filter(isNotOurs);
}

const isNotOurs = ({ pid }) => pid !== process.pid && pid !== command.owner?.pid;
