/**
 * Installs the dependencies when they are not the ones that package-lock.json asks for.
 *
 * A stamp in node_modules remembers for what it was installed. `npm ci` empties node_modules first, so the stamp vanishes with
 * what it vouched for, and an interrupted installation is simply done again.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { SetupError } from './errors.mjs';
import { waitForLock } from './lock-file.mjs';
import { cacheDirectory, root } from './paths.mjs';
import { succeeds } from './spawn.mjs';

/** Install scripts are not run: nothing here needs one (native parts come as optional packages), and nobody has to trust them. */
const NPM_CI = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];

const stampIn = (directory) => join(directory, 'node_modules', '.setup-stamp');

/** Native packages differ by platform and some by Node version, so these belong to what was installed. */
export function wantedStamp(directory = root) {
  return createHash('sha256')
    .update(readFileSync(join(directory, 'package-lock.json')))
    .update(`${process.version} ${process.platform} ${process.arch}`)
    .digest('hex');
}

export function isInstalled(directory = root) {
  const stamp = stampIn(directory);
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === wantedStamp(directory);
}

/** Records that node_modules is what package-lock.json asks for. */
export function writeStamp(directory = root) {
  writeFileSync(stampIn(directory), wantedStamp(directory));
}

/** @throws SetupError when npm cannot install */
export async function installDependencies(guard, say) {
  if (isInstalled()) return;
  const lock = await waitForLock(join(cacheDirectory, 'install.lock'), {
    pids: [process.pid, guard.pid],
    onWait: (holder) => say(`waiting for process ${holder}, which is installing the dependencies …`),
  });
  try {
    if (isInstalled()) return;
    say('installing the dependencies (npm ci) …');
    const [command, args] = npmCommand();
    const env = { ...process.env, ...writableNpmCache() };
    if (
      !(await succeeds(guard.start(command, [...args, ...NPM_CI], { env, stdio: ['ignore', 'inherit', 'inherit'] })))
    ) {
      throw new SetupError(
        [
          'The dependencies could not be installed: npm ci failed, its reason is above.',
          '  no network       connect, or set the registry and proxy that you use: npm config set registry <address>',
          '  lock out of date run `npm install` and commit package-lock.json',
          '  no permission    the user who runs the command has to own this directory',
        ].join('\n'),
      );
    }
    writeStamp();
  } finally {
    lock.release();
  }
}

/** The npm that runs us, so that an installation never mixes two versions of it; otherwise the one on PATH. */
export function npmCommand(env = process.env) {
  const script = env.npm_execpath;
  const isNpm = script && basename(script) === 'npm-cli.js' && existsSync(script);
  return isNpm ? [process.execPath, [script]] : ['npm', []];
}

/** Users of containers and CI machines often have a home directory that is absent or not theirs. */
export function writableNpmCache(env = process.env, home = homedir()) {
  const cache = env.npm_config_cache ?? join(home, '.npm');
  return isWritable(cache) ? {} : { npm_config_cache: join(cacheDirectory, 'npm') };
}

function isWritable(path) {
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  try {
    accessSync(existing, constants.W_OK);
    return statSync(existing).isDirectory();
  } catch {
    return false;
  }
}
