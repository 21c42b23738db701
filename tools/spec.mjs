/**
 * `npm run spec -- <project folder> [Jest's own arguments]`: some specs of one project, at once and without Nx.
 *
 * For the minutes in which one test is being written; `npm test` is what decides.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './paths.mjs';
import { obtainRedis } from './redis-binary.mjs';

const [project, ...jestArguments] = process.argv.slice(2);
if (project === undefined || !existsSync(join(root, project, 'jest.config.mjs'))) {
  console.error('usage: npm run spec -- libs/redis-lock [spec file or pattern] [-t "name of a test"]');
  process.exit(1);
}
const redis = await obtainRedis();
const { REDIS_URL: _redis, DATABASE_URL: _database, ...environment } = process.env;
const { status } = spawnSync(
  process.execPath,
  [join(root, 'node_modules', 'jest', 'bin', 'jest.js'), ...jestArguments],
  {
    cwd: join(root, project),
    stdio: 'inherit',
    env: {
      ...environment,
      REDIS_SERVER_BIN: redis.bin,
      NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
    },
  },
);
process.exit(status ?? 1);
