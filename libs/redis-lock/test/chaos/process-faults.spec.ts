import { oneServer } from './arena/sites.js';
import { describeChaos } from './arena/suite.js';
import { machineNow } from './checker/log-entry.js';
import { claimMs, slackMs, sturdy, ttlMs } from './terms.js';

/** What happens to processes: four of them compete for one lock on one server. */
describeChaos('processes', oneServer, (chaos) => {
  chaos.fault('kill -9 of the holder', { times: 2 }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    const killedAt = machineNow();
    await chaos.arena.kill(holder);
    const { worker, afterMs } = await contest.nextToEnter(killedAt);
    expect(worker.name).toBe(waiters[0].name);
    expect(afterMs).toBeLessThan(ttlMs + slackMs);
    return 1;
  });

  chaos.fault('kill -9 of the waiter at the head', { times: 2, terms: sturdy }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    await chaos.arena.kill(waiters[0]);
    const leftAt = machineNow();
    await holder.do({ order: 'let-go' });
    const { worker, afterMs } = await contest.nextToEnter(leftAt);
    expect(worker.name).toBe(waiters[1].name);
    expect(afterMs).toBeLessThan(claimMs + slackMs);
    return 1;
  });

  chaos.fault('kill -9 of a waiter in the middle', { times: 2, terms: sturdy }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    await chaos.arena.kill(waiters[1]);
    const goneAt = machineNow();
    await holder.do({ order: 'let-go' });
    expect((await contest.nextToEnter(goneAt)).worker.name).toBe(waiters[0].name);
    const leftAt = machineNow();
    await waiters[0].do({ order: 'let-go' });
    const { worker, afterMs } = await contest.nextToEnter(leftAt);
    expect(worker.name).toBe(waiters[2].name);
    expect(afterMs).toBeLessThan(claimMs + slackMs);
    return 1;
  });

  chaos.fault('kill -9 of the waiter just granted', { times: 2, terms: sturdy }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    // Frozen, it is handed the lock and can't see it: so it surely dies between the two.
    await chaos.arena.freeze(waiters[0]);
    const leftAt = machineNow();
    await contest.handsOverTo(waiters[0], () => holder.do({ order: 'let-go' }));
    await chaos.arena.kill(waiters[0]);
    const { worker, afterMs } = await contest.nextToEnter(leftAt);
    expect(worker.name).toBe(waiters[1].name);
    expect(afterMs).toBeLessThan(claimMs + slackMs);
    return 1;
  });

  chaos.fault('SIGSTOP of the waiter just granted', { times: 1 }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    await chaos.arena.freeze(waiters[0]);
    const killedAt = machineNow();
    await chaos.arena.kill(holder);
    // Whoever asks when the lease has run out finds the lock free, but somebody before itself: that one gets it, and sleeps through its claim.
    const { worker, afterMs } = await contest.nextToEnter(killedAt);
    expect(worker.name).toBe(waiters[1].name);
    expect(afterMs).toBeGreaterThan(claimMs);
    expect(afterMs).toBeLessThan(ttlMs + claimMs + slackMs);
    await chaos.arena.thaw(waiters[0]);
    return 1;
  });

  chaos.fault('SIGSTOP of the holder beyond its ttl', { times: 2 }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    const frozenAt = machineNow();
    await chaos.arena.freeze(holder);
    const { worker, afterMs } = await contest.nextToEnter(frozenAt);
    expect(worker.name).toBe(waiters[0].name);
    expect(afterMs).toBeLessThan(ttlMs + slackMs);
    await chaos.arena.thaw(holder);
    expect((await contest.loss(holder, frozenAt)).reason).toBe('deadline');
    // It has released its lock, which is another one's by now, and queues again: that one is still inside.
    expect((await contest.standstill()).holder.name).toBe(worker.name);
    return 1;
  });

  chaos.fault('event-loop stall of the holder', { times: 2 }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    const stalledAt = machineNow();
    const [{ worker }] = await Promise.all([contest.nextToEnter(stalledAt), chaos.arena.stall(holder, ttlMs * 1.5)]);
    expect(worker.name).toBe(waiters[0].name);
    expect((await contest.loss(holder, stalledAt)).reason).toBe('deadline');
    expect((await contest.standstill()).holder.name).toBe(worker.name);
    return 1;
  });
});
