import { setTimeout as sleep } from 'node:timers/promises';
import type { Contest } from './arena/contest.js';
import { faultyNetworks } from './arena/sites.js';
import { describeChaos } from './arena/suite.js';
import { chaosSeed, seededRandom } from './storm/seed.js';
import { stormPlan, type Strike } from './storm/storm-plan.js';
import { ttlMs } from './terms.js';

/** Each fault lasts for a time that may or may not be longer than a lease. */
const scale = { strikes: 24, places: 4, overMs: 4_000, longestMs: ttlMs * 1.5 };
const seed = chaosSeed();
const random = seededRandom(seed);

/** What no test with a name has thought of: faults at any moment, to whoever it may be, several at a time. */
describeChaos('storm', faultyNetworks, (chaos) => {
  const strike = async (contest: Contest, it: Strike): Promise<unknown> => {
    const { arena, crew } = chaos;
    const { server, proxyAt } = chaos.site;
    const forAWhile = () => sleep(it.lastsMs);
    if (it.place === 'server') {
      switch (it.fault) {
        case 'pause':
          server.pause();
          await forAWhile();
          server.resume();
          return;
        case 'flush':
          return contest.forgets('forgot', () => server.flush());
        case 'script flush':
          return server.ask((redis) => redis.script('FLUSH'));
      }
    }
    const worker = crew.at(it.place);
    const proxy = proxyAt(it.place);
    switch (it.fault) {
      case 'kill':
        await arena.kill(worker);
        return contest.replace(worker);
      case 'freeze':
        await arena.freeze(worker);
        await forAWhile();
        return arena.thaw(worker);
      case 'stall':
        return arena.stall(worker, it.lastsMs);
      case 'reset':
        proxy.reset();
        return forAWhile();
      case 'lose a reply': {
        const lost = proxy.dropReply('EVALSHA', { thenReset: it.thenReset });
        await forAWhile();
        lost.stop();
        return;
      }
    }
  };

  const terms = { workMs: 100 };
  const note = `LOCK_CHAOS_SEED=${seed}`;
  chaos.fault('everything at once', { times: 1, terms, note }, async (contest) => {
    await contest.nobodyListens(); // for sure, so that order is judged before and after the storm
    const plan = stormPlan(random, scale);
    const startedAt = performance.now();
    // What strikes one place comes one after the other, should it take longer than planned.
    const places = new Set(plan.map(({ place }) => place));
    await Promise.all(
      [...places].map(async (struck) => {
        for (const next of plan.filter(({ place }) => place === struck)) {
          await sleep(Math.max(0, startedAt + next.atMs - performance.now()));
          await strike(contest, next);
        }
      }),
    );
    return plan.length;
  });
});
