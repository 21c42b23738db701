/** The sample API and the programs that it needs: what `npm start` and `npm run demo` share. Each step says itself what is missing. */
import { join } from 'node:path';
import { startPrivateDatabase } from './database-private.mjs';
import { SetupError } from './errors.mjs';
import { keepOnlyOwnCache, startNx } from './nx.mjs';
import { root } from './paths.mjs';
import { outputOf } from './spawn.mjs';

const APP = '@redstart/sample-api';
const DIST = join(root, 'apps', 'sample-api', 'dist');

export async function buildSampleApi(guard, say) {
  say('building …');
  keepOnlyOwnCache();
  const nx = startNx(guard, ['run', `${APP}:build`, '--outputStyle=static', '--skip-sync'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { code, output } = await outputOf(nx);
  if (code !== 0) throw new SetupError(`${output.trim()}\n\nThe build failed, its reason is above.`);
}

/** The built-in database, with its data in `directory`. */
export function startDatabase(guard, directory) {
  return startPrivateDatabase(guard, { program: join(DIST, 'database', 'serve-embedded.js'), directory });
}

/** @returns {import('node:child_process').ChildProcess} */
export function startSampleApi(guard, { env, stdio = ['ignore', 'inherit', 'inherit'] }) {
  return guard.start(process.execPath, [join(DIST, 'main.js')], { env, stdio });
}
