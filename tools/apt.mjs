/** Debian's package tools, used without root and without installing anything: download, and unpack into a directory. */
import { access, constants, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { capture } from './spawn.mjs';

/**
 * Makes the directories that apt-get wants to write to.
 *
 * @param {string} directory everything of apt's goes there
 * @param {{ privateLists?: boolean, sources?: string }} how `privateLists` keeps package lists of our own, `sources` is a directory of sources instead of the machine's
 * @returns {Promise<{ debs: string, options: string[] }>} the directory for the packages, and the options for every call
 */
export async function prepareApt(directory, { privateLists = false, sources } = {}) {
  const debs = join(directory, 'debs');
  for (const part of ['lists/partial', 'cache/archives/partial', 'log', 'debs']) {
    await mkdir(join(directory, part), { recursive: true });
  }
  const own = {
    'Dir::Cache': join(directory, 'cache'),
    'Dir::Log': join(directory, 'log'),
    // Without this, apt as root hands the download to a user that may not enter our directory.
    'APT::Sandbox::User': 'root',
    'Acquire::Retries': '1',
    'Acquire::http::Timeout': '20',
    'Acquire::https::Timeout': '20',
    ...(privateLists && { 'Dir::State::lists': join(directory, 'lists') }),
    ...(sources && { 'Dir::Etc::sourcelist': '/dev/null', 'Dir::Etc::sourceparts': sources }),
  };
  if (sources || !(await isReadable('/var/lib/dpkg/status'))) {
    own['Dir::State::status'] = join(directory, 'status');
    await writeFile(own['Dir::State::status'], '');
  }
  return { debs, options: ['-qq', ...Object.entries(own).flatMap(([key, value]) => ['-o', `${key}=${value}`])] };
}

/** Unpacks every package of a directory. @throws Error naming the package that could not be */
export async function unpackPackages(debs, target, env) {
  for (const deb of await readdir(debs)) {
    if (!deb.endsWith('.deb')) continue;
    const done = await capture('dpkg-deb', ['-x', join(debs, deb), target], { env });
    if (done.code !== 0) throw new Error(`dpkg-deb could not unpack ${deb}: ${firstLine(done.output)}`);
  }
}

const isReadable = (path) =>
  access(path, constants.R_OK).then(
    () => true,
    () => false,
  );

export const firstLine = (text) =>
  text
    .split('\n')
    .find((line) => line.trim())
    ?.trim() ?? '';
