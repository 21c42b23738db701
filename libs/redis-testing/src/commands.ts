import type { RedisServer } from './server/redis-server.js';
import type { TopologyUnderTest } from './topology/topology-under-test.js';

/** Every server that the commands of a host may go to: of a Cluster all of them, under Sentinel the present master. */
export function serversOf(redis: TopologyUnderTest): readonly RedisServer[] {
  return redis.topology === 'cluster' ? redis.cluster.servers : [redis.server];
}

/**
 * What the servers carry out while some work is done, as they count it themselves: name of the command -> how often, from clients and from scripts alike. `EVALSHA`
 * that only said `NOSCRIPT` is left out.
 *
 * @example  expect(await commandsDuring(serversOf(redis), () => cache.get('a'))).toEqual({ get: 1 });
 * @see      CONFIG RESETSTAT before, INFO commandstats after, of every master
 */
export async function commandsDuring(
  servers: readonly RedisServer[],
  work: () => Promise<unknown>,
): Promise<Readonly<Record<string, number>>> {
  const masters: RedisServer[] = [];
  for (const server of servers) if (await isMaster(server)) masters.push(server);
  for (const server of masters) await server.ask((client) => client.config('RESETSTAT'));
  await work();
  const counts: Record<string, number> = {};
  for (const server of masters) {
    const stats = await server.ask((client) => client.info('commandstats'));
    for (const [, name = '', calls, failed] of stats.matchAll(/^cmdstat_(\S+):calls=(\d+),.*failed_calls=(\d+)/gm)) {
      const carriedOut = Number(calls) - Number(failed);
      if (carriedOut > 0) counts[name] = (counts[name] ?? 0) + carriedOut;
    }
  }
  return counts;
}

/** A replica repeats what its master has carried out, sooner or later. */
async function isMaster(server: RedisServer): Promise<boolean> {
  return /^role:master/m.test(await server.ask((client) => client.info('replication')));
}
