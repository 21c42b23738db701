/**
 * `npm run bench` and `npm run bench:peers`: our speed, on a server of its own, after a build of what is measured.
 *
 * The peers are installed for the second one only, into a folder of their own: who builds or tests the repository never has them.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { peerVersions } from '../bench/peers/versions.mjs';
import { SetupError } from './errors.mjs';
import { installDependencies, npmCommand, writableNpmCache } from './install.mjs';
import { keepOnlyOwnCache, startNx } from './nx.mjs';
import { cacheDirectory, root } from './paths.mjs';
import { obtainRedis } from './redis-binary.mjs';
import { exitCode, outputOf, succeeds } from './spawn.mjs';

const PEERS = join(cacheDirectory, 'bench-peers');

/** @returns {Promise<number>} 0 when every bar was met */
export async function bench({ words }, guard, say) {
  await prepare(guard, say);
  return run(words, guard, say);
}

export async function benchPeers({ words }, guard, say) {
  await prepare(guard, say);
  await installPeers(guard, say);
  return run(withPeers(words), guard, say);
}

/** `lock` stands for the bench of the locks with their peers; without a name all that have peers are run. */
function withPeers(words) {
  const isName = (word) => ['lock', 'ratelimit', 'streams'].includes(word);
  const named = words.map((word) => (isName(word) ? `${word}-peers` : word));
  return words.some(isName) ? named : ['lock-peers', 'ratelimit-peers', 'streams-peers', ...words];
}

async function prepare(guard, say) {
  mkdirSync(cacheDirectory, { recursive: true });
  await installDependencies(guard, say);
  say('building …');
  keepOnlyOwnCache();
  const nx = startNx(guard, ['run-many', '-t', 'build', '--projects=libs/*', '--outputStyle=static', '--skip-sync'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { code, output } = await outputOf(nx);
  if (code !== 0) throw new SetupError(`${output.trim()}\n\nThe build failed, its reason is above.`);
}

async function run(words, guard, say) {
  const redis = await obtainRedis({ say });
  const env = { ...process.env, REDIS_SERVER_BIN: redis.bin };
  const program = join(root, 'bench', 'run.mjs');
  return exitCode(guard.start(process.execPath, [program, ...words], { env, stdio: ['ignore', 'inherit', 'inherit'] }));
}

/** Exactly the versions that are named, without their install scripts. */
async function installPeers(guard, say) {
  if (Object.entries(peerVersions).every(([name, version]) => installedVersion(name) === version)) return;
  say('installing the peers into .cache/bench-peers …');
  mkdirSync(PEERS, { recursive: true });
  const manifest = { name: 'bench-peers', private: true, dependencies: peerVersions };
  writeFileSync(join(PEERS, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  const [command, args] = npmCommand();
  const install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
  const npm = guard.start(command, [...args, ...install], {
    cwd: PEERS,
    env: { ...process.env, ...writableNpmCache() },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (!(await succeeds(npm))) {
    throw new SetupError('The peers could not be installed: npm install failed, its reason is above.');
  }
}

function installedVersion(name) {
  const file = join(PEERS, 'node_modules', name, 'package.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version.replace(/^v/, '') : undefined;
}
