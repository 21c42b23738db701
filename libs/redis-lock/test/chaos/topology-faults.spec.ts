import { RedisCluster, RedisSentinel } from '@redstart/redis-testing';
import { Arena, redisKey } from './arena/arena.js';
import { Crew, namesOf } from './arena/crew.js';
import { testTimeoutMs, underFault } from './arena/under-fault.js';
import { machineNow } from './checker/log-entry.js';
import { lockOptions } from './terms.js';

/** What happens between servers: four processes compete for one lock, and its keys move to another server. */
describe('chaos: topology', () => {
  let crew: Crew;
  beforeAll(async () => {
    crew = await Crew.assemble();
  }, testTimeoutMs);
  afterAll(async () => {
    expect(crew.complaints).toEqual([]);
    await crew[Symbol.asyncDispose]();
  });

  it(
    'Sentinel failover',
    async () => {
      await using sentinel = await RedisSentinel.start();
      const redis = { namespace: 'shop', sentinels: [...sentinel.sentinels], masterName: sentinel.masterName };
      await using arena = await Arena.open({
        crew,
        targetOf: () => ({ redis: [redis], lock: lockOptions }),
        clients: [sentinel.client()],
        masters: () => Promise.resolve([sentinel.master]),
        serverOf: () => Promise.resolve(sentinel.master),
      });
      await underFault(arena, 'Sentinel failover', { times: 1 }, async (contest) => {
        if (!sentinel.replica.running) await sentinel.rejoin();
        const { holder } = await contest.standstill();
        const killedAt = machineNow();
        await contest.nobodyListens();
        // What the old master had not passed on yet is lost. The new one is announced after the lease has ended.
        await contest.forgets('may-have-forgotten', () => sentinel.failover());
        expect((await contest.loss(holder, killedAt)).reason).toBe('deadline');
        await arena.watch(contest.terms.key);
        return 1;
      });
    },
    testTimeoutMs,
  );

  it(
    'Cluster slot moved',
    async () => {
      await using cluster = await RedisCluster.start({ masters: 3, replicas: 0 });
      await using arena = await Arena.open({
        crew,
        targetOf: () => ({ redis: [{ namespace: 'shop', cluster: [...cluster.nodes] }], lock: lockOptions }),
        clients: [cluster.client()],
        masters: () => cluster.masters(),
        serverOf: (key) => cluster.nodeOf(key),
      });
      await underFault(arena, 'Cluster slot moved', { times: 2 }, async (contest) => {
        const { holder, waiters } = await contest.standstill();
        const key = redisKey(contest.terms.key);
        const from = await cluster.nodeOf(key);
        const to = (await cluster.masters()).find((master) => master !== from);
        if (to === undefined) throw new Error('There is no other master.');
        await contest.nobodyListens();
        await cluster.migrateSlot(await cluster.slotOf(key), to);
        expect(await cluster.nodeOf(key)).toBe(to);
        await arena.watch(contest.terms.key);
        // Renewed at its new place, and every waiter has kept its own.
        await contest.passes(contest.terms.ttlMs * 1.2);
        const after = await contest.standstill();
        expect(after.holder.name).toBe(holder.name);
        expect(namesOf(after.waiters)).toEqual(namesOf(waiters));
        return 1;
      });
    },
    testTimeoutMs,
  );
});
