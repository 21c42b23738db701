/**
 * Serves the embedded database as a process of its own, so that several processes of the API can share it:
 *
 *     node dist/database/serve-embedded.js --data-dir .data/postgres --port 0
 *
 * Prints one line of JSON, `{"url":"postgres://…"}`, once it is ready. Ends on SIGTERM, on SIGINT, and when the pipe on its
 * standard input closes, that is when the process that started it is gone; with exit code 1 when the database crashes.
 */
import { fstatSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { describeStartupFailure, messageOf, StartupError } from '../startup/startup-error.js';
import { EmbeddedPostgres } from './embedded-postgres.js';

async function serve(): Promise<void> {
  const { dataFolder, port } = readArguments();
  const whenAsked = stopRequest();
  const postgres = await EmbeddedPostgres.start({ dataFolder, port });
  process.stdout.write(`${JSON.stringify({ url: postgres.url })}\n`);
  const hasCrashed = await Promise.race([whenAsked.then(() => false), postgres.whenCrashed.then(() => true)]);
  await postgres.stop();
  if (hasCrashed)
    throw new StartupError('The embedded database has crashed. Start it again; what was committed is kept.');
}

function readArguments(): { dataFolder: string; port: number } {
  const usage = 'Usage: serve-embedded --data-dir <folder> [--port <0-65535>]';
  try {
    const { values } = parseArgs({
      options: { 'data-dir': { type: 'string' }, port: { type: 'string', default: '0' } },
    });
    const port = Number(values.port);
    if (!values['data-dir'] || !Number.isInteger(port) || port < 0 || port > 65_535) throw new StartupError(usage);
    return { dataFolder: values['data-dir'], port };
  } catch (error) {
    throw error instanceof StartupError ? error : new StartupError(`${usage} (${messageOf(error)})`);
  }
}

/** Listens from the start, so that a stop asked for while the database is still opening is not missed. */
function stopRequest(): Promise<void> {
  return new Promise((resolve) => {
    const stop = () => {
      resolve();
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
    if (parentHoldsStdin()) process.stdin.once('end', stop).once('error', stop).once('close', stop).resume();
  });
}

/** A pipe ends with the parent. A terminal or /dev/null says nothing about it. */
function parentHoldsStdin(): boolean {
  const input = fstatSync(0);
  return input.isFIFO() || input.isSocket();
}

serve().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${describeStartupFailure(error)}\n`);
    process.exit(1);
  },
);
