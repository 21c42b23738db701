/**
 * Reads the command line, runs the command, and leaves only when everything that it started has ended.
 *
 * Exit code: the command's own; 128 + the signal's number when a signal ended it.
 */
import { constants } from 'node:os';
import { SetupError } from './errors.mjs';
import { startGuard } from './guard.mjs';
import { root } from './paths.mjs';
import { UsageError, parseArguments, usage } from './arguments.mjs';

const commands = {
  start: async () => (await import('./start.mjs')).start,
  demo: async () => (await import('./demo.mjs')).demo,
  test: async () => (await import('./test.mjs')).test,
  'test:servers': async () => (await import('./matrix.mjs')).testServers,
  'test:cluster': async () => (await import('./matrix.mjs')).testCluster,
  'test:near': async () => (await import('./matrix.mjs')).testNear,
  'test:ioredis5': async () => (await import('./matrix.mjs')).testIoredis5,
  bench: async () => (await import('./bench.mjs')).bench,
  'bench:peers': async () => (await import('./bench.mjs')).benchPeers,
};

/** @param {string[]} argv */
export async function runCommand(argv) {
  const request = readRequest(argv);
  if (!request) return;
  process.chdir(root);
  const run = await commands[request.command]();
  const guard = startGuard({ grace: ['start', 'demo'].includes(request.command) ? 10_000 : 5_000 });
  const code = await Promise.race([firstSignal(guard), outcome(run, request, guard)]);
  await guard.end();
  process.exit(code);
}

function readRequest(argv) {
  try {
    const request = parseArguments(argv);
    if (!request.help) return request;
    console.log(usage);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    process.exitCode = 1;
  }
  return undefined;
}

async function outcome(run, request, guard) {
  try {
    return await run(request, guard, sayer(guard));
  } catch (error) {
    if (!guard.ending) console.error(error instanceof SetupError ? `\n${error.message}` : error);
    return 1;
  }
}

/** What happens to programs while they are being ended is no news: whoever ended the command knows. */
const sayer =
  (guard) =>
  (line = '') => {
    if (!guard.ending) console.log(line);
  };

/**
 * A terminal sends Ctrl-C to npm and to us, and npm passes its own on: the second is the same wish as the first. Listening for
 * good also keeps a third from ending us before our programs have ended.
 */
function firstSignal(guard) {
  return new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.on(name, () => {
        if (!guard.ending) console.log('\nstopping …');
        void guard.end();
        resolve(128 + constants.signals[name]);
      });
    }
  });
}
