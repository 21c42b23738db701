/**
 * Finds a real Redis (or Valkey) server to run, without root and without installing anything.
 *
 * In order: REDIS_SERVER_BIN · a server on PATH or in the usual directories · the one unpacked earlier into .cache/redis ·
 * the distribution's own packages, downloaded with apt-get and unpacked there. When nothing works, the error says what to do.
 *
 * Run directly, it prints the path: `node tools/redis-binary.mjs`
 */
import { randomUUID } from 'node:crypto';
import { access, chmod, constants, mkdir, readdir, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { firstLine, prepareApt, unpackPackages } from './apt.mjs';
import { SetupError } from './errors.mjs';
import { root } from './paths.mjs';
import { isAlive } from './process-table.mjs';
import { capture } from './spawn.mjs';

/** What the libraries need; older servers lack functions that scripts and streams rely on. */
const OLDEST = [7, 0];
const NAMES = ['redis-server', 'valkey-server'];
/** Package managers put servers here, and a shell started by an editor or a CI often leaves them out of PATH. */
const USUAL_DIRECTORIES = [
  '/usr/bin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/local/sbin',
  '/opt/homebrew/bin',
  '/opt/local/bin',
  '/snap/bin',
];

/**
 * @param {{ env?: NodeJS.ProcessEnv, cache?: string, usual?: string[], say?: (line: string) => void }} options
 * @returns {Promise<{ bin: string, version: string, title: string, source: string }>} its title is what it says of itself: `Redis 7.0.15`
 * @throws SetupError whose message tells the user what to do
 */
export async function obtainRedis({
  env = process.env,
  cache = join(root, '.cache'),
  usual = USUAL_DIRECTORIES,
  say = () => {},
} = {}) {
  if (env.REDIS_SERVER_BIN) return chosenByUser(resolve(env.REDIS_SERVER_BIN));
  const rejected = [];
  const found =
    (await installedOnThisMachine(env, usual, rejected)) ??
    (await usable(join(cache, 'redis', 'redis-server'), 'unpacked earlier', rejected)) ??
    (await unpackFromPackages(env, cache, say, rejected));
  if (found) return found;
  throw new SetupError(whatToDo(rejected));
}

async function chosenByUser(bin) {
  const rejected = [];
  const server = await usable(bin, 'REDIS_SERVER_BIN', rejected);
  if (server) return server;
  const why = rejected[0] ?? `REDIS_SERVER_BIN=${bin} is not an executable file`;
  throw new SetupError(
    `${why}.\nPoint REDIS_SERVER_BIN at a redis-server or valkey-server ${OLDEST.join('.')} or newer, or unset it.`,
  );
}

async function installedOnThisMachine(env, usual, rejected) {
  const directories = [...(env.PATH ?? '').split(delimiter).filter(Boolean), ...usual];
  for (const directory of new Set(directories)) {
    for (const name of NAMES) {
      const server = await usable(join(directory, name), 'installed on this machine', rejected);
      if (server) return server;
    }
  }
  return undefined;
}

/** A candidate counts only if it runs: a leftover for another architecture or C library is passed over, with its reason kept. */
async function usable(bin, source, rejected) {
  if (!(await isExecutable(bin))) return undefined;
  const { code, output } = await capture(bin, ['--version'], { timeout: 10_000 });
  const { version, title } = versionIn(output);
  if (code !== 0 || !version) {
    rejected.push(`${bin} does not run: ${firstLine(output) || `exit code ${code}`}`);
    return undefined;
  }
  if (isOlder(version)) {
    rejected.push(`${bin} is version ${version}, and ${OLDEST.join('.')} or newer is needed`);
    return undefined;
  }
  return { bin, version, title, source };
}

/** What a server answers to --version. Valkey calls itself by both names. @returns {{ version?: string, title?: string }} empty when it is no such answer */
export function versionIn(output) {
  const version = /\bv=(\d+\.\d+\.\d+)/.exec(output)?.[1];
  return version ? { version, title: `${/valkey/i.test(output) ? 'Valkey' : 'Redis'} ${version}` } : {};
}

function isOlder(version) {
  const [major, minor] = version.split('.').map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}

/**
 * Everything happens in a directory of its own that is renamed into place once its server has run, so that two commands at
 * once, or an interrupted one, never leave half a server behind.
 */
async function unpackFromPackages(env, cache, say, rejected) {
  const apt = await onPath('apt-get', env);
  const dpkg = await onPath('dpkg-deb', env);
  if (process.platform !== 'linux' || !apt || !dpkg) return undefined;
  say("obtaining Redis: unpacking the distribution's package into .cache/redis (nothing is installed) …");
  await mkdir(cache, { recursive: true });
  await removeAbandoned(cache);
  const draft = join(cache, `redis.draft-${process.pid}-${randomUUID()}`);
  try {
    const debs = await download(draft, env, rejected);
    if (!debs) return undefined;
    await unpackPackages(debs, join(draft, 'root'), env);
    await writeWrapper(draft);
    await rm(join(draft, 'apt'), { recursive: true, force: true });
    if (!(await usable(join(draft, 'redis-server'), '', rejected))) return undefined;
    const place = join(cache, 'redis');
    const isUsable = async () => Boolean(await usable(join(place, 'redis-server'), '', []));
    await moveIntoPlace(draft, place, isUsable);
    return await usable(join(place, 'redis-server'), "unpacked from the distribution's packages", rejected);
  } catch (error) {
    rejected.push(`unpacking the packages failed: ${firstLine(error.message)}`);
    return undefined;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** The machine's own package lists first; they may be absent, stale or unreadable, so a private copy comes second. */
async function download(draft, env, rejected) {
  let failure = '';
  for (const lists of ['of the machine', 'private']) {
    const apt = await prepareApt(join(draft, 'apt'), { privateLists: lists === 'private' });
    if (lists === 'private') {
      // One unreachable extra source makes `update` fail although the lists that matter have arrived: only the download decides.
      await capture('apt-get', [...apt.options, 'update'], { env, timeout: 180_000 });
    }
    for (const family of ['redis', 'valkey']) {
      const packages = await packagesOf(family, apt.options, env);
      const done = await capture('apt-get', [...apt.options, 'download', ...packages], {
        cwd: apt.debs,
        env,
        timeout: 180_000,
      });
      if (done.code === 0) return apt.debs;
      failure ||= firstLine(done.output.replace(/^W:.*\n/gm, ''));
    }
  }
  rejected.push(`apt-get could not download redis-server: ${failure || 'no reason given'}`);
  return undefined;
}

/**
 * The server, its tools (where the program really lives on Debian) and the shared libraries that it names and this machine
 * lacks. One level is enough: what those libraries need in turn is part of every system that has apt.
 */
async function packagesOf(family, options, env) {
  const wanted = [`${family}-server`, `${family}-tools`];
  const { output } = await capture('apt-cache', [...options, 'depends', '--important', ...wanted], { env });
  const libraries = [...output.matchAll(/^\s+\|?(?:Pre)?Depends: ((?:lib|lua)[\w.+-]+)$/gm)].map(([, name]) => name);
  const missing = [];
  for (const name of new Set(libraries)) {
    const status = await capture('dpkg-query', ['-W', '-f=${Status}', name], { env });
    if (!status.output.includes('install ok installed')) missing.push(name);
  }
  return [...wanted, ...missing];
}

/** `exec` keeps the process id, so that whoever starts the wrapper can watch and end the server itself. */
async function writeWrapper(draft) {
  const server = await firstExecutable(NAMES.map((name) => join(draft, 'root', 'usr', 'bin', name)));
  if (!server) throw new Error('the packages hold no server');
  const libraries = [];
  for (const parent of ['usr/lib', 'lib']) {
    const entries = await readdir(join(draft, 'root', parent), { withFileTypes: true }).catch(() => []);
    const directories = entries.filter((entry) => entry.isDirectory() && entry.name.includes('-linux-'));
    libraries.push(...directories.map((entry) => `$here/root/${parent}/${entry.name}`));
  }
  const wrapper = join(draft, 'redis-server');
  await writeFile(
    wrapper,
    `#!/bin/sh
# Written by tools/redis-binary.mjs: runs the unpacked server with the libraries that were unpacked beside it.
case $0 in */*) here=\${0%/*} ;; *) here=. ;; esac
export LD_LIBRARY_PATH="${libraries.join(':')}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$here/${server.slice(draft.length + 1)}" "$@"
`,
  );
  await chmod(wrapper, 0o755);
}

/** @param {() => Promise<boolean>} isUsable whether what is in place is as good as the draft */
export async function moveIntoPlace(draft, place, isUsable) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await rename(draft, place);
    } catch (error) {
      if (attempt === 3) throw error;
      // Another command was faster: its server is as good as ours.
      if (await isUsable()) return;
      const broken = `${draft}.broken`;
      await rename(place, broken).catch(() => {});
      await rm(broken, { recursive: true, force: true });
    }
  }
}

async function removeAbandoned(cache) {
  for (const name of await readdir(cache)) {
    const maker = /^redis\.draft-(\d+)-/.exec(name)?.[1];
    if (maker && !isAlive(Number(maker))) await rm(join(cache, name), { recursive: true, force: true });
  }
}

function whatToDo(rejected) {
  return [
    `No Redis server was found${rejected.length ? ` (${rejected[0]})` : ''}. Do one of these and run the command again:`,
    '  Debian, Ubuntu   sudo apt-get install redis-server',
    '  macOS            brew install redis',
    '  any system       put a redis-server or valkey-server 7.0 or newer on PATH, or set REDIS_SERVER_BIN=/path/to/it',
    '  npm start only   set REDIS_URL=redis://host:port to use a server that already runs',
  ].join('\n');
}

async function onPath(name, env) {
  return firstExecutable((env.PATH ?? '').split(delimiter).map((directory) => join(directory, name)));
}

async function firstExecutable(candidates) {
  for (const candidate of candidates) if (await isExecutable(candidate)) return candidate;
  return undefined;
}

const isExecutable = (path) =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );

const runDirectly = process.argv[1] && pathToFileURL(await realpath(process.argv[1])).href === import.meta.url;
if (runDirectly) {
  try {
    console.log((await obtainRedis({ say: console.error })).bin);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
