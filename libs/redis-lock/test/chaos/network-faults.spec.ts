import { eventually, type FaultProxy } from '@redstart/redis-testing';
import { faultyNetworks } from './arena/sites.js';
import { describeChaos } from './arena/suite.js';
import { machineNow } from './checker/log-entry.js';
import { sturdy } from './terms.js';
import type { WorkerProcess } from './worker/orders.js';

/** What happens between processes and their server: each of the four has a faulty network of its own. */
describeChaos('network', faultyNetworks, (chaos) => {
  const proxyOf = (worker: WorkerProcess): FaultProxy => chaos.site.proxyAt(chaos.crew.placeOf(worker));
  /** The reply of the next script of a worker is lost together with its connection. */
  const loseNextReply = (worker: WorkerProcess) => proxyOf(worker).dropReply('EVALSHA', { thenReset: true });

  // So long a lease that a lock which waits for itself is told from one that recognises itself, and that nothing is renewed meanwhile.
  const longLease = { ttlMs: 12_000 };
  const longBeforeItEnds = longLease.ttlMs / 2;

  chaos.fault('lost reply of acquire', { times: 2, terms: longLease }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    // In the queue: it keeps the place that it does not know of, and has only one.
    const [asker] = waiters;
    await asker.do({ order: 'rest' });
    await contest.lineWithout([asker]);
    const lostInQueue = loseNextReply(asker);
    await asker.do({ order: 'compete', terms: contest.terms });
    await eventually(() => lostInQueue.injected === 1);
    await contest.standstill();
    // With nobody else: it recognises its own lock.
    for (const worker of waiters) await worker.do({ order: 'rest' });
    await holder.do({ order: 'rest' });
    await contest.lineWithout([holder, ...waiters]);
    const lostWhenFree = loseNextReply(asker);
    const askedAt = machineNow();
    await asker.do({ order: 'compete', terms: contest.terms });
    const { worker, afterMs } = await contest.nextToEnter(askedAt);
    expect(worker.name).toBe(asker.name);
    expect(afterMs).toBeLessThan(longBeforeItEnds);
    expect(lostWhenFree.injected).toBe(1);
    for (const other of contest.workers.filter((each) => each !== asker)) {
      await other.do({ order: 'compete', terms: contest.terms });
    }
    return lostInQueue.injected + lostWhenFree.injected;
  });

  chaos.fault('lost reply of release', { times: 3, terms: longLease }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    const lost = loseNextReply(holder);
    const leftAt = machineNow();
    await holder.do({ order: 'let-go' });
    const { worker, afterMs } = await contest.nextToEnter(leftAt);
    expect(worker.name).toBe(waiters[0].name);
    expect(afterMs).toBeLessThan(longBeforeItEnds);
    await eventually(() => lost.injected === 1);
    return lost.injected;
  });

  chaos.fault('lost reply of a renewal', { times: 2, terms: sturdy }, async (contest) => {
    const { holder } = await contest.standstill();
    const lost = loseNextReply(holder); // It sends nothing else while it dwells.
    await eventually(() => lost.injected === 1);
    await contest.passes(sturdy.ttlMs * 1.2);
    expect((await contest.standstill()).holder.name).toBe(holder.name);
    expect((await contest.log()).some((entry) => entry.what === 'lost')).toBe(false);
    return lost.injected;
  });

  chaos.fault('connection reset', { times: 2, terms: sturdy }, async (contest) => {
    const { holder } = await contest.standstill();
    await contest.nobodyListens();
    const idle = chaos.site.proxies.reduce((sum, proxy) => sum + proxy.reset().injected, 0);
    // Past the lease: whoever holds the lock has found its way back to renew it.
    await contest.passes(sturdy.ttlMs * 1.2);
    expect((await contest.standstill()).holder.name).toBe(holder.name);
    await contest.goOn();
    await contest.everyoneEnters();
    const busy = chaos.site.proxies.reduce((sum, proxy) => sum + proxy.reset().injected, 0);
    return idle + busy;
  });
});
