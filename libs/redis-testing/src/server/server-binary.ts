import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { ServerBinaryError } from '../errors.js';

const NAMES = ['redis-server', 'valkey-server'];
/** Where package managers put servers, for shells and editors that start us with a short PATH. */
const USUAL_DIRECTORIES = ['/usr/bin', '/usr/local/bin', '/usr/sbin', '/opt/homebrew/bin', '/opt/redis/bin'];
/** Where a repository may keep a server of its own, below any folder between the working directory and the root. */
const UNPACKED = join('.cache', 'redis', 'redis-server');

/** What the look-up may see; tests pass their own. */
export interface BinarySurroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly usualDirectories: readonly string[];
}

/**
 * The path of the server to start: `explicit`, else `REDIS_SERVER_BIN`, else `redis-server` or `valkey-server` on the
 * PATH and in the usual folders, else `.cache/redis/redis-server` in the nearest folder above the working directory.
 *
 * `REDIS_URL` is ignored by design: tests kill and flush the server they are given.
 *
 * @throws ServerBinaryError when nothing executable is found, or when the one asked for is not executable
 */
export function findServerBinary(
  explicit?: string,
  { env, cwd, usualDirectories }: BinarySurroundings = {
    env: process.env,
    cwd: process.cwd(),
    usualDirectories: USUAL_DIRECTORIES,
  },
): string {
  if (explicit !== undefined) return demanded(resolve(cwd, explicit), 'the option bin');
  const fromEnv = env['REDIS_SERVER_BIN'];
  if (fromEnv !== undefined && fromEnv !== '') return demanded(resolve(cwd, fromEnv), 'REDIS_SERVER_BIN');

  const onPath = (env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '');
  const installed = [...onPath, ...usualDirectories].flatMap((directory) => NAMES.map((name) => join(directory, name)));
  const unpacked = ancestorsOf(cwd).map((directory) => join(directory, UNPACKED));
  const found = [...installed, ...unpacked].find(isExecutable);
  if (found !== undefined) return found;

  throw new ServerBinaryError(
    [
      'No redis-server or valkey-server was found on the PATH, in the usual folders or in .cache/redis.',
      'Install one (apt-get install redis-server, brew install redis or valkey),',
      'or set REDIS_SERVER_BIN to the path of a server, or pass { bin }.',
      'Inside the Redstart repository, running `npm test` once unpacks one.',
    ].join('\n'),
  );
}

function demanded(path: string, by: string): string {
  if (isExecutable(path)) return path;
  throw new ServerBinaryError(`${path}, named by ${by}, is not an executable file.`);
}

function ancestorsOf(directory: string): string[] {
  const parent = dirname(directory);
  return parent === directory ? [directory] : [directory, ...ancestorsOf(parent)];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // not there, or not ours to run: the next place is tried
  }
}
