import { setImmediate as nextTurn } from 'node:timers/promises';
import { RedisCluster } from '@redstart/redis-testing';
import { isCluster } from '../src/connection/cluster.js';
import { aCall, openConnection } from './support/open-connection.js';

describe('a Cluster that is being scaled out', () => {
  const rejected: unknown[] = [];
  const onRejection = (reason: unknown) => rejected.push(reason);
  beforeAll(() => {
    process.on('unhandledRejection', onRejection);
  });
  afterAll(() => {
    process.off('unhandledRejection', onRejection);
  });

  it('answers while a slot is on its way to a master without any, and nothing is left to end the process', async () => {
    await using cluster = await RedisCluster.start({ masters: 1, replicas: 0, spares: 1 });
    const [, spare] = await cluster.masters();
    // The slots are looked at when this test says so, and not in the middle of a read.
    await using open = await openConnection({
      cluster: cluster.nodes.slice(0, 1),
      ioredis: { slotsRefreshInterval: 600_000 },
    });
    const { connection } = open;
    const { client } = connection;
    if (spare === undefined || !isCluster(client)) throw new Error('It is a Cluster with a spare master.');
    const key = connection.keys.tagged('item', 1)();
    await connection.call(aCall, (redis) => redis.set(key, 'value'));
    let left = 0;
    client.on('-node', () => {
      left += 1;
    });
    await cluster.migrateSlot(await cluster.slotOf(key), spare, {
      during: async () => {
        for (let time = 0; time < 3; time += 1) {
          expect(await connection.call(aCall, (redis) => redis.get(key))).toBe('value');
        }
        // Each look at the slots shows that the spare has none, and closes the connection to it, with what waits for it.
        for (let round = 0; round < 300 && left < 3; round += 1) {
          const found = connection.call(aCall, (redis) => redis.get(key)).catch((error: unknown) => error);
          for (let turn = 0; turn < 5; turn += 1) await nextTurn();
          await new Promise((resolve) => {
            client.refreshSlotsCache(resolve);
          });
          expect(['value', expect.objectContaining({ code: 'REDIS_UNAVAILABLE' })]).toContainEqual(await found);
        }
      },
    });
    expect(left).toBeGreaterThanOrEqual(3);
    await nextTurn();
    expect(rejected).toEqual([]);
    expect(await connection.call(aCall, (redis) => redis.get(key))).toBe('value');
  });
});
