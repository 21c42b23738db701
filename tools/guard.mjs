/**
 * The command's side of the guardian (see guardian.mjs): starts it, tells it what was started, and asks it to end everything.
 *
 * Every program of a command is started through `guard.start`. Each gets a session of its own, so that a Ctrl-C in the terminal
 * reaches the command alone, which then ends its programs in order, each with one signal.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { commandOf, identify, readProcess, RUN_MARK } from './process-table.mjs';

const PROGRAM = fileURLToPath(new URL('guardian.mjs', import.meta.url));

/**
 * @param {{ grace?: number, env?: NodeJS.ProcessEnv, script?: string }} options `grace`: milliseconds between SIGTERM and SIGKILL;
 *   `script`: how the command names itself in the shell line that npm runs
 */
export function startGuard({ grace = 5000, env = process.env, script = 'tools/run.mjs' } = {}) {
  const mark = randomUUID();
  const guardianEnv = { ...env };
  // Whatever is started from now on inherits the mark. A command inside another command carries both.
  env[RUN_MARK] = [env[RUN_MARK], mark].filter(Boolean).join(',');
  const told = [{ owner: identify(process.pid), mark, grace }];
  told.push(...ancestorsToWatch(env, script).map((watch) => ({ watch })));
  let ending = false;
  let guardian = startGuardian();

  function startGuardian() {
    const child = spawn(process.execPath, [PROGRAM], {
      detached: true,
      env: guardianEnv,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    // The guardian may be gone when we write; its exit is handled below.
    child.stdin.on('error', () => {});
    child.once('exit', () => {
      // Somebody killed it: without a guardian nothing would be ended if we were killed next.
      if (!ending) guardian = startGuardian();
    });
    for (const message of told) child.stdin.write(`${JSON.stringify(message)}\n`);
    return child;
  }

  function tell(message) {
    told.push(message);
    guardian.stdin.write(`${JSON.stringify(message)}\n`);
  }

  return {
    /** The guardian's process id: while it lives, something of this command may still be alive. */
    get pid() {
      return guardian.pid;
    },

    get ending() {
      return ending;
    },

    /** Starts a program. A service is ended only after every other program has ended. */
    start(command, args, { service = false, ...options } = {}) {
      if (ending) throw new Error('the command is ending');
      const child = spawn(command, args, { env, ...options, detached: true });
      // Without a process id it could not be started; its 'error' event says why.
      const identity = child.pid && identify(child.pid);
      if (identity) tell(service ? { service: identity } : { job: identity });
      return child;
    },

    /** Ends everything that was started and resolves when nothing is left. */
    async end() {
      const first = !ending;
      ending = true;
      if (guardian.exitCode !== null || guardian.signalCode !== null) return;
      const gone = once(guardian, 'exit');
      if (first) guardian.stdin.end(`${JSON.stringify({ end: true })}\n`);
      await gone;
    },
  };
}

/**
 * `npm` starts `sh -c "node tools/run.mjs …"`, and some shells stay between the two. When npm is killed, nothing tells us, so the
 * guardian watches both. Started from a shell directly, the command watches nobody: it may outlive its terminal on purpose.
 * A script around it can name itself in REDSTART_PARENT.
 */
function ancestorsToWatch(env, script) {
  const watched = [];
  if (env.npm_lifecycle_event) {
    watched.push(identify(process.ppid));
    const isShellOfNpm = commandOf(process.ppid).includes(script);
    if (isShellOfNpm) watched.push(identify(readProcess(process.ppid)?.parent ?? 1));
  }
  if (env.REDSTART_PARENT) watched.push(identify(Number(env.REDSTART_PARENT)));
  return watched.filter((one) => one !== undefined);
}
