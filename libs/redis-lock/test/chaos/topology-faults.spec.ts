import { namesOf } from './arena/crew.js';
import { threeMasters, withSentinels } from './arena/sites.js';
import { describeChaos } from './arena/suite.js';
import { machineNow } from './checker/log-entry.js';
import { redisKey } from './redis-key.js';
import { sturdy } from './terms.js';

/** What happens between servers: four processes compete for one lock, and its keys move to another server. */
describeChaos('Sentinel', withSentinels, (chaos) => {
  chaos.fault('Sentinel failover', { times: 1 }, async (contest) => {
    const { sentinel } = chaos.site;
    if (!sentinel.replica.running) await sentinel.rejoin();
    const { holder } = await contest.standstill();
    const killedAt = machineNow();
    await contest.nobodyListens();
    // What the old master had not passed on yet is lost. The new one is announced after the lease has ended.
    await contest.forgets('may-have-forgotten', () => sentinel.failover());
    expect((await contest.loss(holder, killedAt)).reason).toBe('deadline');
    await chaos.arena.watch(contest.terms.key);
    return 1;
  });
});

describeChaos('Cluster', threeMasters, (chaos) => {
  chaos.fault('Cluster slot moved', { times: 2, terms: sturdy }, async (contest) => {
    const { cluster } = chaos.site;
    const { holder, waiters } = await contest.standstill();
    const key = redisKey(contest.terms.key);
    const from = await cluster.nodeOf(key);
    const to = (await cluster.masters()).find((master) => master !== from);
    if (to === undefined) throw new Error('There is no other master.');
    await contest.nobodyListens();
    await cluster.migrateSlot(await cluster.slotOf(key), to);
    expect(await cluster.nodeOf(key)).toBe(to);
    await chaos.arena.watch(contest.terms.key);
    // Renewed at its new place, and every waiter has kept its own.
    await contest.passes(sturdy.ttlMs * 1.2);
    const after = await contest.standstill();
    expect(after.holder.name).toBe(holder.name);
    expect(namesOf(after.waiters)).toEqual(namesOf(waiters));
    return 1;
  });
});
