import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Outcome, run } from './run.js';
import { workspace } from './workspace.js';

const WITHIN_MS = 120_000;
/** npm's codes for a registry that did not answer. One that says no has been reached. */
const UNREACHABLE =
  /npm error code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED|ERR_SOCKET_TIMEOUT|FETCH_ERROR|E50\d)/;

/** npm's own patience with a registry is minutes. */
const PATIENCE = [
  '--fetch-retries=1',
  '--fetch-retry-mintimeout=1000',
  '--fetch-retry-maxtimeout=1000',
  '--fetch-timeout=20000',
];

/** Runs npm as a user would in `cwd`, whatever runs this test. */
export function npm(args: readonly string[], cwd: string): Promise<Outcome> {
  return run('npm', [...args, ...PATIENCE], { cwd, env: environment(), within: WITHIN_MS });
}

/**
 * Why the registry can't be reached, or `undefined` when it can. It is asked once an installation has failed, because the failure does not tell: npm
 * goes on with the packages that it could not load, and then reports that their versions don't fit.
 */
export async function whyUnreachable(): Promise<string | undefined> {
  const ping = await npm(['ping'], workspace);
  if (ping.code === null) return 'no answer';
  return ping.code === 0 ? undefined : UNREACHABLE.exec(ping.stderr)?.[1];
}

/** Without what the `npm` and the Nx that run this test have left for their own children. */
function environment(): NodeJS.ProcessEnv {
  const ofTheRun =
    /^(NODE_OPTIONS|NODE_PATH|INIT_CWD|NX_.*|npm_(package|lifecycle)_.*|npm_config_(local_prefix|workspaces?))$/i;
  const kept = Object.entries(process.env).filter(([name]) => !ofTheRun.test(name));
  return { ...Object.fromEntries(kept), ...writableCache() };
}

/** Users of containers often have a home directory that is not theirs; `npm test` keeps its cache in the workspace then, too. */
function writableCache(): NodeJS.ProcessEnv {
  const cache = process.env['npm_config_cache'] ?? join(homedir(), '.npm');
  try {
    accessSync(cache, constants.W_OK);
    return {};
  } catch {
    return { npm_config_cache: join(workspace, '.cache/npm') };
  }
}
