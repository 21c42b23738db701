/** Runs Nx the same way everywhere: no daemon that stays behind, no cloud, no terminal UI, and a cache of this checkout alone. */
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './paths.mjs';

const PROGRAM = join(root, 'node_modules', 'nx', 'dist', 'bin', 'nx.js');

/** @returns {import('node:child_process').ChildProcess} */
export function startNx(guard, args, { env = nxEnvironment(), stdio = ['ignore', 'inherit', 'inherit'] } = {}) {
  return guard.start(process.execPath, [PROGRAM, ...args], { env, stdio });
}

export function nxEnvironment(env = process.env) {
  const own = {
    ...env,
    NX_DAEMON: 'false',
    NX_NO_CLOUD: 'true',
    NX_TUI: 'false',
    // Plugins run inside Nx: faster here, and fewer processes to end.
    NX_ISOLATE_PLUGINS: 'false',
    // Nx colours its tasks' output even in a log file, unless it is told not to.
    ...(!process.stdout.isTTY && env.FORCE_COLOR === undefined && { FORCE_COLOR: '0' }),
  };
  // Each of these would move the cache to a place that several checkouts may share.
  for (const name of ['NX_CACHE_DIRECTORY', 'NX_WORKSPACE_DATA_DIRECTORY', 'NX_PROJECT_GRAPH_CACHE_DIRECTORY']) {
    delete own[name];
  }
  return own;
}

/**
 * Empties the cache unless this very checkout filled it: a copied directory brings its original's results along, and a test that
 * passed elsewhere has not passed here.
 */
export function keepOnlyOwnCache(directory = root) {
  const nx = join(directory, '.nx');
  const stamp = join(nx, 'cache', '.made-by');
  const { dev, ino } = statSync(directory);
  const self = `${realpathSync(directory)} ${dev}:${ino}`;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === self) return;
  for (const part of ['cache', 'workspace-data']) rmSync(join(nx, part), { recursive: true, force: true });
  mkdirSync(join(nx, 'cache'), { recursive: true });
  writeFileSync(stamp, self);
}
