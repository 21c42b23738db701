import { eventually, type RedisServer } from '@redstart/redis-testing';
import type { Contest } from './arena/contest.js';
import { threeNodes } from './arena/sites.js';
import { describeChaos } from './arena/suite.js';
import { pidOf } from './checker/check-queue.js';
import { machineNow } from './checker/log-entry.js';
import { redisKey } from './redis-key.js';
import { quorumTerms, slackMs } from './terms.js';
import type { WorkerProcess } from './worker/orders.js';

const { ttlMs } = quorumTerms;
const terms = quorumTerms;

/**
 * What happens to independent nodes: four processes compete for one lock at a quorum of three. A node that has lost its memory takes no part for as long as a lease, so nothing excuses an
 * overlap here. First come, first served is not promised: nobody queues, and that is what the checker judges instead of an order.
 */
describeChaos('quorum', threeNodes, (chaos) => {
  let turn = 0;
  /** Each node comes first in its turn; every other time it hangs, else it is killed and comes back empty. */
  const nextTurn = () => {
    const { nodes } = chaos.site;
    const first = turn % nodes.length;
    const hangs = turn % 2 === 0;
    turn += 1;
    return { nodes: [...nodes.slice(first), ...nodes.slice(0, first)], hangs };
  };
  const takeDown = async (nodes: readonly RedisServer[], hangs: boolean) => {
    for (const node of nodes) {
      if (hangs) node.pause();
      else await node.kill();
    }
  };
  const bringBack = async (nodes: readonly RedisServer[]) => {
    for (const node of nodes) {
      if (node.running) node.resume();
      else await node.restart();
    }
  };

  const since = async (contest: Contest, moment: number, what: 'enter' | 'lost') =>
    (await contest.log()).filter(
      (entry) => entry.what === what && entry.key === contest.terms.key && entry.lookedAt > moment,
    );
  /** All of these nodes have it as the holder, and that by one acquire: its last one may be released at a node later than at a quorum. */
  const isHeldAt = (nodes: readonly RedisServer[], contest: Contest, holder: WorkerProcess) =>
    eventually(
      async () => {
        const owners = await Promise.all(
          nodes.map((node) => node.ask((redis) => redis.get(redisKey(contest.terms.key)))),
        );
        expect(owners.map((owner) => pidOf(owner ?? ''))).toEqual(nodes.map(() => holder.pid));
        expect(new Set(owners).size).toBe(1);
      },
      { within: 15_000 },
    );

  chaos.fault('quorum: minority down', { times: 2, terms }, async (contest) => {
    const { nodes, hangs } = nextTurn();
    const holder = await contest.someoneDwells();
    await isHeldAt(nodes, contest, holder);
    const down = nodes.slice(0, 1);
    const downSince = machineNow();
    await takeDown(down, hangs);
    try {
      // Renewed by the others, past what its lease was; then released and taken by them as well.
      await contest.passes(ttlMs * 1.2);
      expect((await contest.inside())?.name).toBe(holder.name);
      expect(await since(contest, downSince, 'lost')).toEqual([]);
      await contest.goOn();
      await contest.everyoneEnters();
    } finally {
      await bringBack(down);
    }
    return 1;
  });

  chaos.fault('quorum: majority down', { times: 2, terms }, async (contest) => {
    const { nodes, hangs } = nextTurn();
    const holder = await contest.someoneDwells();
    await isHeldAt(nodes, contest, holder);
    const down = nodes.slice(0, 2);
    const downSince = machineNow();
    await takeDown(down, hangs);
    try {
      const { reason, lookedAt } = await contest.loss(holder, downSince);
      expect(reason).toBe('quorum');
      expect(lookedAt - downSince).toBeLessThan(ttlMs + slackMs);
      await contest.goOn();
      // Nobody comes in, and all are told why.
      await eventually(
        async () => {
          const told = new Set<string>();
          for (const entry of await contest.log()) {
            if (entry.what === 'failed' && entry.code === 'LOCK_QUORUM' && entry.lookedAt > downSince) {
              told.add(entry.worker);
            }
          }
          expect(told.size).toBe(contest.workers.length);
        },
        { within: 15_000 },
      );
      expect(await since(contest, downSince, 'enter')).toEqual([]);
    } finally {
      await bringBack(down);
    }
    return 1;
  });

  chaos.fault('quorum: one node restarted empty', { times: 2, terms }, async (contest) => {
    const { nodes } = nextTurn();
    const holder = await contest.someoneDwells();
    await isHeldAt(nodes, contest, holder);
    const restartedAt = machineNow();
    await nodes[0]?.restart();
    // It is among the holder's nodes again, whoever else wants it there.
    await isHeldAt(nodes, contest, holder);
    await contest.passes(ttlMs * 1.2);
    expect((await contest.inside())?.name).toBe(holder.name);
    expect(await since(contest, restartedAt, 'lost')).toEqual([]);
    return 1;
  });

  chaos.fault('quorum: one of a bare quorum restarted empty', { times: 2, terms }, async (contest) => {
    const { nodes } = nextTurn();
    const [forgetful, other, late] = nodes;
    if (forgetful === undefined || other === undefined || late === undefined) throw new Error('There are three nodes.');
    late.pause();
    try {
      await contest.goOn();
      await contest.everyoneEnters();
      // Whoever is inside now has the lock at no other nodes.
      const holder = await contest.someoneDwells();
      await isHeldAt([forgetful, other], contest, holder);
      await forgetful.restart();
    } finally {
      late.resume();
    }
    // Two nodes know nothing of the holder. Those who wait ask them, and the holder does so too.
    await contest.passes(ttlMs * 1.2);
    return 1;
  });
});
