/**
 * Obtains the other servers that the suites run on, each from the Debian release that has it, with the C library it was built for. Nothing is
 * installed: every server is unpacked into `.cache/servers/<name>` and runs by its own dynamic loader.
 *
 * Run directly, it prints their paths: `node tools/servers.mjs [valkey-8 …]`
 */
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { firstLine, prepareApt, unpackPackages } from './apt.mjs';
import { SetupError } from './errors.mjs';
import { root } from './paths.mjs';
import { moveIntoPlace, versionIn } from './redis-binary.mjs';
import { capture } from './spawn.mjs';

/** Debian's releases from the oldest server to the newest. `suites` are searched together; the last one is preferred. */
export const SERVERS = {
  'valkey-8': { family: 'valkey', suites: ['bookworm', 'bookworm-backports'] },
  'redis-8': { family: 'redis', suites: ['trixie'] },
  'valkey-9': { family: 'valkey', suites: ['forky'] },
};

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * @param {keyof typeof SERVERS} name
 * @param {{ env?: NodeJS.ProcessEnv, cache?: string, apt?: string, say?: (line: string) => void }} options `apt`: where the machine names its own mirror
 * @returns {Promise<{ bin: string, title: string }>} its title is what it says of itself: `Valkey 9.1.2`
 * @throws SetupError whose message tells what to do
 */
export async function obtainServer(
  name,
  { env = process.env, cache = join(root, '.cache'), apt = '/etc/apt', say = () => {} } = {},
) {
  const place = join(cache, 'servers', name);
  const bin = join(place, 'redis-server');
  const unpacked = await titleOf(bin, env);
  if (unpacked) return { bin, title: unpacked };
  say(`obtaining ${name}: unpacking Debian's package into .cache/servers (nothing is installed) …`);
  const draft = `${place}.draft-${process.pid}-${randomUUID()}`;
  try {
    await unpack(SERVERS[name], draft, { env, configuration: apt });
    if (!(await titleOf(join(draft, 'redis-server'), env)))
      throw new Error(
        `the unpacked server does not run: ${firstLine((await capture(join(draft, 'redis-server'), ['--version'])).output)}`,
      );
    await moveIntoPlace(draft, place, async () => Boolean(await titleOf(bin, env)));
    return { bin, title: await titleOf(bin, env) };
  } catch (error) {
    throw new SetupError(
      `${name} could not be obtained: ${firstLine(error.message)}.\nPut a server, or a script that runs one, at ${bin}, or leave ${name} out.`,
    );
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** @returns {Promise<string | undefined>} undefined when it does not run */
async function titleOf(bin, env) {
  const { code, output } = await capture(bin, ['--version'], { env, timeout: 10_000 });
  return code === 0 ? versionIn(output).title : undefined;
}

async function unpack({ family, suites }, draft, { env, configuration }) {
  const sources = join(draft, 'sources');
  await mkdir(sources, { recursive: true });
  await writeFile(
    join(sources, 'debian.sources'),
    [
      'Types: deb',
      `URIs: ${await mirror(configuration)}`,
      `Suites: ${suites.join(' ')}`,
      'Components: main',
      `Signed-By: ${KEYRING}`,
      '',
    ].join('\n'),
  );
  const apt = await prepareApt(join(draft, 'apt'), { privateLists: true, sources });
  const run = async (program, args) => {
    const { code, output } = await capture(
      program,
      [...apt.options, '-o', `APT::Default-Release=${suites.at(-1)}`, ...args],
      {
        cwd: apt.debs,
        env,
        timeout: 180_000,
      },
    );
    if (code !== 0) throw new Error(`${program} ${args[0]} has failed: ${firstLine(output.replace(/^W:.*\n/gm, ''))}`);
    return output;
  };
  await run('apt-get', ['update']);
  await run('apt-get', ['download', ...(await withLibraries([`${family}-server`, `${family}-tools`], run))]);
  await unpackPackages(apt.debs, join(draft, 'root'), env);
  await rm(join(draft, 'apt'), { recursive: true, force: true });
  await writeWrapper(draft);
}

/** Where this machine gets its own packages from. */
async function mirror(configuration) {
  const directory = join(configuration, 'sources.list.d');
  const files = (await readdir(directory).catch(() => [])).map((name) => join(directory, name));
  for (const file of [join(configuration, 'sources.list'), ...files.sort()]) {
    const text = await readFile(file, 'utf8').catch(() => '');
    const found =
      /^URIs:\s*(https?:\S+\/debian)\/?\s*$/m.exec(text) ?? /^deb (?:\[.*?\] )?(https?:\S+\/debian)\/?\s/m.exec(text);
    if (found) return found[1];
  }
  throw new Error("this machine has no source of Debian's packages");
}

/** The packages and every shared library below them: the machine's own may be too old for a newer release's server. */
async function withLibraries(packages, run) {
  const found = new Set(packages);
  for (let wanted = packages; wanted.length > 0;) {
    const output = await run('apt-cache', ['depends', '--important', ...wanted]);
    const names = [...output.matchAll(/^\s+(?:Pre)?Depends: ((?:lib|zlib|lua)[\w.+-]+)$/gm)].map(([, name]) => name);
    wanted = [...new Set(names)].filter((name) => !found.has(name));
    for (const name of wanted) found.add(name);
  }
  return [...found];
}

/** `exec` keeps the process id, so that whoever starts the wrapper can watch and end the server itself. */
async function writeWrapper(draft) {
  const files = await readdir(join(draft, 'root'), { recursive: true });
  const server = files.find((name) => /usr\/bin\/(?:redis|valkey)-server$/.test(name));
  const loader = files.find((name) => /\/ld-linux[\w-]*\.so\.\d+$/.test(name));
  if (!server || !loader) throw new Error('the packages hold no server, or no C library to run it');
  const libraries = new Set(
    files.filter((name) => /\.so(\.|$)/.test(name)).map((name) => name.replace(/\/[^/]*$/, '')),
  );
  const wrapper = join(draft, 'redis-server');
  await writeFile(
    wrapper,
    `#!/bin/sh
# Written by tools/servers.mjs: runs the unpacked server with the C library and the loader that were unpacked beside it.
case $0 in */*) here=\${0%/*} ;; *) here=. ;; esac
exec "$here/root/${loader}" --library-path "${[...libraries].map((name) => `$here/root/${name}`).join(':')}" "$here/root/${server}" "$@"
`,
  );
  await chmod(wrapper, 0o755);
}

const runDirectly = process.argv[1] && pathToFileURL(await realpath(process.argv[1])).href === import.meta.url;
if (runDirectly) {
  for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(SERVERS)) {
    if (!(name in SERVERS)) throw new SetupError(`There is no ${name}. Known: ${Object.keys(SERVERS).join(', ')}.`);
    const { bin, title } = await obtainServer(name, { say: console.error });
    console.log(`${title}  ${bin}`);
  }
}
