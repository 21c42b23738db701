/**
 * The libraries' suites in other surroundings than those of `npm test`: on other servers, on a Cluster with replicas, with the oldest major of ioredis. Nothing
 * is taken from the cache, which knows nothing of surroundings.
 */
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { SetupError } from './errors.mjs';
import { installDependencies } from './install.mjs';
import { runTargets } from './nx-tasks.mjs';
import { keepOnlyOwnCache } from './nx.mjs';
import { cacheDirectory, root } from './paths.mjs';
import { obtainRedis } from './redis-binary.mjs';
import { conclude } from './results.mjs';
import { obtainServer, SERVERS } from './servers.mjs';
import { failed } from './totals.mjs';

/** Every suite on each of the servers, one after the other. */
export const testServers = matrix(({ servers }, say) =>
  (servers.length > 0 ? servers : Object.keys(SERVERS)).map((name) => async () => {
    const redis = await obtainServer(name, { say });
    return { title: redis.title, redis };
  }),
);

/** What runs on a Cluster, on three masters with a replica each. */
export const testCluster = matrix((_request, say) => [
  async () => ({
    title: 'six-node Cluster',
    redis: await obtainRedis({ say }),
    env: { REDSTART_TOPOLOGY: 'cluster', REDSTART_CLUSTER_REPLICAS: '1' },
  }),
]);

export const testIoredis5 = matrix((_request, say) => [
  async () => ({
    title: `ioredis ${createRequire(join(root, 'package.json'))('ioredis-5/package.json').version}`,
    redis: await obtainRedis({ say }),
    env: { REDSTART_IOREDIS: '5' },
  }),
]);

/** @param {(request: object, say: (line: string) => void) => (() => Promise<{ title: string, redis: { bin: string }, env?: object }>)[]} surroundingsOf */
function matrix(surroundingsOf) {
  return async (request, guard, say) => {
    const began = performance.now();
    const rows = [];
    mkdirSync(cacheDirectory, { recursive: true });
    await installDependencies(guard, say);
    keepOnlyOwnCache();
    for (const obtain of surroundingsOf(request, say)) {
      try {
        const { title, redis, env } = await obtain();
        say(`\n── the suites on ${title}`);
        const found = await runTargets(guard, { targets: ['test'], projects: ['libs/*'], redis, env, cached: false });
        rows.push(...found.map((row) => ({ ...row, title: `${row.title} on ${title}` })));
      } catch (error) {
        if (guard.ending || !(error instanceof SetupError)) throw error;
        say(`\n${error.message}`);
        rows.push(failed('set-up', error.message.split('\n')[0]));
      }
    }
    return conclude(rows, began, say);
  };
}
