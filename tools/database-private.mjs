/**
 * A database of a command's own: PostgreSQL compiled to WebAssembly, served on a loopback port by a program of the sample API, its
 * data kept in a directory.
 */
import { createInterface } from 'node:readline';
import { SetupError } from './errors.mjs';
import { exitCode } from './spawn.mjs';

const READY_WITHIN = 120_000;

/**
 * The program prints one line of JSON, `{"url":"postgres://…"}`, when it is ready, and ends when its stdin closes.
 *
 * @param {{ start: Function }} guard
 * @param {{ program: string, directory: string }} options
 * @returns {Promise<{ url: string, ended: Promise<number> }>}
 * @throws SetupError when it does not become ready
 */
export async function startPrivateDatabase(guard, { program, directory }) {
  const child = guard.start(process.execPath, [program, '--data-dir', directory, '--port', '0'], {
    service: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.on('error', () => {});
  const ended = exitCode(child);
  const url = await Promise.race([
    readUrl(child.stdout),
    ended.then((code) => `exit code ${code}`),
    new Promise((resolve) => setTimeout(resolve, READY_WITHIN, 'no answer within two minutes').unref()),
  ]);
  if (/^postgres(ql)?:/.test(url)) return { url, ended };
  throw new SetupError(
    [
      `The built-in database did not start (${url}); what it said is above.`,
      `  its data is damaged   move ${directory} away: the sample data is loaded again`,
      '  use your own          set DATABASE_URL=postgres://user:password@host/database',
    ].join('\n'),
  );
}

/** Whatever else the program says on its way is passed over. */
function readUrl(stdout) {
  return new Promise((resolve) => {
    createInterface({ input: stdout }).on('line', (line) => {
      try {
        const { url } = JSON.parse(line);
        if (url) resolve(url);
      } catch {
        console.log(line);
      }
    });
  });
}
