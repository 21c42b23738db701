/**
 * The suites in other surroundings than those of `npm test`: on other servers, on a Cluster with replicas, with the cache's near tier, with the oldest major of ioredis. Nothing
 * is taken from the cache, which knows nothing of surroundings.
 */
import { mkdirSync } from 'node:fs';
import { SetupError } from './errors.mjs';
import { installDependencies } from './install.mjs';
import { runTargets } from './nx-tasks.mjs';
import { keepOnlyOwnCache } from './nx.mjs';
import { cacheDirectory, versionOf } from './paths.mjs';
import { obtainRedis } from './redis-binary.mjs';
import { conclude } from './results.mjs';
import { obtainServer, SERVERS } from './servers.mjs';
import { failed } from './totals.mjs';

const LIBRARIES = 'libs/*';
const CACHE = '@redstart/redis-cache';
const SAMPLE = 'apps/sample-api';

/**
 * What to run where. `obtain` finds the server, when it is that one's turn.
 *
 * @typedef {{ bin: string, title: string }} Server
 * @typedef {{ name: string, what: string, obtain: () => Promise<Server>, title: (server: Server) => string, targets?: string[], projects: string[], env?: NodeJS.ProcessEnv }} Surroundings
 */

/**
 * Every suite, the sample API's processes included, on each of the servers, one after the other. With `REDSTART_IOREDIS=5` the specs have the older ioredis; the processes load what is installed.
 *
 * @returns {Surroundings[]}
 */
export function otherServers({ servers }, say, obtain = obtainServer) {
  const older = process.env.REDSTART_IOREDIS === '5';
  return (servers.length > 0 ? servers : Object.keys(SERVERS)).flatMap((name) => {
    const on = (ioredis) => ({
      name,
      obtain: () => obtain(name, { say }),
      title: (server) => `${server.title}, ioredis ${versionOf(ioredis)}`,
    });
    const projects = [LIBRARIES, SAMPLE];
    if (!older) {
      return [
        { ...on('ioredis'), what: 'libraries, sample API and its processes', targets: ['test', 'e2e'], projects },
      ];
    }
    return [
      { ...on('ioredis-5'), what: 'libraries and sample API', projects },
      { ...on('ioredis'), what: "the sample API's processes", targets: ['e2e'], projects: [SAMPLE] },
    ];
  });
}

/**
 * What runs on a Cluster, on three masters with a replica each. The sample API has one server.
 *
 * One suite after the other: with six servers for each of their workers, and under faults six processes more that have leases of a second to renew, two beside each
 * other only take turns.
 *
 * @returns {Surroundings[]}
 */
export function sixNodeCluster(_request, say, obtain = obtainRedis) {
  return [
    {
      name: 'six-node Cluster',
      what: "libraries' suites for Clusters",
      obtain: () => obtain({ say }),
      title: (server) => `six-node Cluster of ${server.title}, ioredis ${versionOf('ioredis')}`,
      projects: [LIBRARIES],
      env: { REDSTART_TOPOLOGY: 'cluster', REDSTART_CLUSTER_REPLICAS: '1', NX_PARALLEL: '1' },
    },
  ];
}

/** What the cache promises with and without a near tier, with it. @returns {Surroundings[]} */
export function nearTier(_request, say, obtain = obtainRedis) {
  return [
    {
      name: 'the near tier',
      what: "the cache's suite with its near tier",
      obtain: () => obtain({ say }),
      title: (server) => `${server.title}, ioredis ${versionOf('ioredis')}`,
      projects: [CACHE],
      env: { REDSTART_NEAR: 'on' },
    },
  ];
}

/** Every spec with the older ioredis. The sample API's processes load what is installed, so they are left out. @returns {Surroundings[]} */
export function olderIoredis(_request, say, obtain = obtainRedis) {
  return [
    {
      name: 'ioredis 5',
      what: 'libraries and sample API',
      obtain: () => obtain({ say }),
      title: (server) => `${server.title}, ioredis ${versionOf('ioredis-5')}`,
      projects: [LIBRARIES, SAMPLE],
      env: { REDSTART_IOREDIS: '5' },
    },
  ];
}

export const testServers = matrix(otherServers);
export const testCluster = matrix(sixNodeCluster);
export const testNear = matrix(nearTier);
export const testIoredis5 = matrix(olderIoredis);

/** @param {(request: object, say: (line: string) => void) => Surroundings[]} surroundingsOf */
export function matrix(surroundingsOf, prepare = prepareWorkspace) {
  return async (request, guard, say) => {
    const began = performance.now();
    await prepare(guard, say);
    const found = [];
    for (const one of surroundingsOf(request, say)) found.push(await runIn(one, guard, say));
    return conclude(
      found.flatMap(({ rows }) => rows),
      found,
      began,
      say,
    );
  };
}

async function prepareWorkspace(guard, say) {
  mkdirSync(cacheDirectory, { recursive: true });
  await installDependencies(guard, say);
  keepOnlyOwnCache();
}

/** @param {Surroundings} surroundings */
async function runIn({ name, what, obtain, title: titleOn, targets = ['test'], projects, env }, guard, say) {
  try {
    const redis = await obtain();
    const title = titleOn(redis);
    say(`\n── the suites on ${title}`);
    const { rows, ranNothing } = await runTargets(guard, { targets, projects, redis, env, cached: false });
    return {
      title: `${what} on ${title}`,
      rows: rows.map((row) => ({ ...row, title: `${row.title} on ${title}` })),
      reason: ranNothing,
    };
  } catch (error) {
    if (guard.ending || !(error instanceof SetupError)) throw error;
    say(`\n${error.message}`);
    const reason = error.message.split('\n')[0];
    return { title: `${what} on ${name}`, rows: [failed(`set-up on ${name}`, reason)], reason };
  }
}
