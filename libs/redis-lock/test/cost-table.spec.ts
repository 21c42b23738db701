import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { hashSlot, type RedisConnection } from '@redstart/redis-core';
import {
  cluster,
  commandsDuring,
  describeOn,
  eventually,
  RedisServer,
  serversOf,
  standalone,
} from '@redstart/redis-testing';
import { CronLock, currentLock, defineFencedScript, type Lock, type LockService } from '../src/index.js';
import { costOf, costTable, n, type Cost } from './cost-table.js';
import { DrivenHost } from './driven-host.js';
import { Nodes, startQuorumHost } from './quorum-support.js';
import { startHost } from './support.js';

@Injectable()
class Jobs {
  @CronLock('nightly', { atLeast: 0 })
  nightly(): Promise<string> {
    return Promise.resolve('ran');
  }
}

interface Bench {
  /** Its time stands still, so it sends nothing by itself. */
  readonly driven: DrivenHost;
  readonly locks: LockService;
  /** Another process. */
  readonly others: LockService;
  readonly jobs: Jobs;
  readonly connection: RedisConnection;
  /** Until so many wait in this queue. Costs no EVALSHA. */
  readonly waiting: (key: string, count: number) => Promise<void>;
}

/** Prepares what a row of the table is about, and has it measured: once, or each thing that the row names. */
type Row = (bench: Bench, measure: (work: () => Promise<unknown>) => Promise<void>) => Promise<unknown>;

const nothing = () => Promise.resolve();
const save = defineFencedScript({ name: 'cost:save', lua: 'return 1', args: () => [], parse: () => undefined });
const renewed = { ttl: '30s', autoExtend: true } as const;
const confirmed = (locks: readonly Lock[]) =>
  eventually(() => {
    for (const lock of locks) expect(lock.remainingMs).toBe(30_000 * 0.99 - 2);
  });
/** Also on a Cluster. */
const inOneSlot = () => {
  const bySlot = new Map<number, string[][]>();
  for (let at = 0; ; at++) {
    const slot = hashSlot(`shop:lock:{stock:${at}}`);
    const keys = [...(bySlot.get(slot) ?? []), ['stock', `${at}`]];
    if (keys.length === n) return keys;
    bySlot.set(slot, keys);
  }
};
const keysOfOneSlot = inOneSlot();

const onOneMaster: Readonly<Record<string, Row>> = {
  'a free lock: `acquire`, `tryAcquire`': async ({ locks }, measure) => {
    await measure(() => locks.acquire('stock'));
  },
  'its `extend`, `release`, `inspect`, `isLocked`, `forceRelease`': async ({ locks }, measure) => {
    const lock = await locks.acquire('stock');
    await measure(() => locks.inspect('stock'));
    await measure(() => locks.isLocked('stock'));
    await measure(() => lock.extend());
    await measure(() => lock.release());
    await locks.acquire('stock');
    await measure(() => locks.forceRelease('stock'));
  },
  '`withLock`, `@WithLock`, `@CronLock`: before and after the work': async ({ locks, jobs }, measure) => {
    await measure(() => locks.withLock('stock', {}, nothing));
    await measure(async () => {
      expect(await jobs.nightly()).toBe('ran');
    });
  },
  'a `reentrant` call in it': async ({ locks }, measure) => {
    const inner = () => locks.withLock('stock', { reentrant: true }, nothing);
    await locks.withLock('stock', {}, () => measure(inner));
  },
  'a lock that is held: `tryAcquire`': async ({ locks, others }, measure) => {
    await others.acquire('stock');
    await measure(async () => {
      expect(await locks.tryAcquire('stock')).toBeNull();
    });
  },
  'a wait, the `release` that ends it, and the confirmation': async ({ locks, others, waiting }, measure) => {
    const held = await others.acquire('stock');
    await measure(async () => {
      const next = locks.acquire('stock');
      await waiting('lock:{stock}:queue', 1);
      await held.release();
      await confirmed([await next]);
    });
  },
  'n leases in one slot, of whatever kind: their renewal': async ({ driven, locks }, measure) => {
    const all = await Promise.all([
      locks.acquire('stock', renewed),
      locks.readWrite('stock').read(renewed),
      locks.readWrite('stock').read(renewed),
      locks.semaphore('stock', { permits: 5 }).acquire({ ...renewed, permits: 2 }),
    ]);
    expect(all).toHaveLength(n);
    await measure(async () => {
      driven.clock.advance(10_000);
      await confirmed(all);
    });
    // Otherwise the next time that this is done, they would be found lost in what is measured, and given back there.
    for (const lock of all) await lock.release();
  },
  'n keys in one slot, all free': async ({ locks }, measure) => {
    await measure(() => locks.acquire(keysOfOneSlot));
  },
  'a read/write lock: `read`, `write`, their `release`, `downgrade`, `inspect`': async ({ locks }, measure) => {
    const prices = locks.readWrite('prices');
    const taken: Lock[] = [];
    await measure(async () => taken.push(await prices.read()));
    await measure(() => prices.inspect());
    await measure(async () => taken.pop()?.release());
    const writer = await prices.write();
    await measure(async () => taken.push(await writer.downgrade()));
    await taken.pop()?.release();
    await measure(async () => taken.push(await prices.write()));
    await measure(async () => taken.pop()?.release());
  },
  'n readers that wait, the `release` that lets them in, and the confirmations': async (
    { locks, others, waiting },
    measure,
  ) => {
    const writer = await others.readWrite('prices').write();
    await measure(async () => {
      const readers = Array.from({ length: n }, () => locks.readWrite('prices').read());
      await waiting('rwlock:{prices}:waiting-readers', n);
      await writer.release();
      await confirmed(await Promise.all(readers));
    });
  },
  'n permits by one call: `acquire`, `release`, `inspect`': async ({ locks }, measure) => {
    const bank = locks.semaphore('bank', { permits: 10 });
    const taken: Lock[] = [];
    await measure(async () => taken.push(await bank.acquire({ permits: n })));
    await measure(() => bank.inspect());
    await measure(async () => taken.pop()?.release());
  },
  'a leader: its election, its `stop`': async ({ locks }, measure) => {
    const elect = async () => {
      const leadership = locks.leader('scheduler', { onElected: nothing });
      await eventually(() => leadership.isLeader);
      return leadership;
    };
    const elected: Awaited<ReturnType<typeof elect>>[] = [];
    await measure(async () => elected.push(await elect()));
    await measure(async () => elected.pop()?.stop());
  },
  'a script of `defineFencedScript`': async ({ connection }, measure) => {
    await measure(() => save.run(connection, 1, ['shop:report:{1}']));
  },
  '`isHeld`, `assertHeld()`, `currentLock()`, `stats()`': async ({ locks }, measure) => {
    const lock = await locks.acquire('stock');
    await measure(() => {
      lock.assertHeld();
      return Promise.resolve([lock.isHeld, currentLock(), locks.stats()]);
    });
  },
};

const releaseOfMany: Row = async ({ locks }, measure) => {
  const lock = await locks.acquire(keysOfOneSlot);
  await measure(() => lock.release());
};

const onOneServer: Readonly<Record<string, Row>> = {
  'n keys on one server: `release`': releaseOfMany,
  'n locks on one server, each asked for in one tick, all free': async ({ locks }, measure) => {
    await measure(() => Promise.all(Array.from({ length: n }, (_, at) => locks.acquire(['ticket', at]))));
  },
};

const onCluster: Readonly<Record<string, Row>> = {
  'n keys on a Cluster: `release`': releaseOfMany,
  'n keys in several slots of a Cluster': async ({ locks }, measure) => {
    await measure(() => locks.acquire(Array.from({ length: n }, (_, at) => ['order', at])));
  },
};

const withReplicas: Readonly<Record<string, (locks: LockService) => Promise<unknown>>> = {
  'with `replicas`: a free lock': (locks) => locks.acquire('stock'),
};

const atEachNode: Readonly<Record<string, (locks: LockService, lock: Lock) => readonly (() => Promise<unknown>)[]>> = {
  'with `nodes`, at each: a free lock': (locks) => [() => locks.acquire('another')],
  'with `nodes`, at each: `extend`, `release`, `inspect`, `forceRelease`': (locks, lock) => [
    () => lock.extend(),
    () => locks.inspect('stock'),
    () => lock.release(),
    () => locks.forceRelease('stock'),
  ],
};

const lines = await costTable();
const costIn = (row: string): Cost => {
  const cost = lines.get(row);
  if (cost === undefined) throw new Error(`The README does not say what this costs: ${row}`);
  return cost;
};

describe('the table of the README that says what everything costs', () => {
  it('says what is measured here, and nothing else', () => {
    const measured = [onOneMaster, onOneServer, onCluster, withReplicas, atEachNode].flatMap((rows) =>
      Object.keys(rows),
    );
    expect([...lines.keys()].sort()).toEqual(measured.sort());
  });
});

describeOn(standalone, cluster)('what it costs', (redis) => {
  let bench: Bench;
  let hosts: readonly AsyncDisposable[];
  beforeAll(async () => {
    // No signs of life meanwhile.
    const other = await startHost(redis.connection, { queueLease: '5m' }, [Jobs]);
    const driven = await DrivenHost.start(redis.connection);
    hosts = [other, driven];
    bench = {
      driven,
      locks: driven.locks,
      others: other.locks,
      jobs: other.app.get(Jobs),
      connection: driven.connection,
      waiting: async (key, count) => {
        const client = redis.client();
        await eventually(async () => {
          const at = `shop:${key}`;
          expect(await (key.endsWith(':queue') ? client.llen(at) : client.zcard(at))).toBe(count);
          expect(driven.clock.pending).toBeGreaterThanOrEqual(count);
        });
      },
    };
  });
  afterAll(async () => {
    for (const host of hosts) await host[Symbol.asyncDispose]();
  });

  const expectCosts = async (row: Row, cost: Cost) => {
    // Before it counts, everything is done once: scripts are loaded then, and channels listened to.
    await row(bench, async (work) => {
      await work();
    });
    await redis.flush();
    const costs: Cost[] = [];
    await row(bench, async (work) => void costs.push(costOf(await commandsDuring(serversOf(redis), work))));
    expect(costs.length).toBeGreaterThan(0);
    for (const measured of costs) expect(measured).toEqual(cost);
  };

  const rows = redis.topology === 'cluster' ? { ...onOneMaster, ...onCluster } : { ...onOneMaster, ...onOneServer };
  it.each(Object.entries(rows))('is as the README says: %s', async (what, row) => {
    await expectCosts(row, costIn(what));
  });
});

describe('what it costs', () => {
  it.each(Object.entries(withReplicas))('is as the README says: %s', async (what, work) => {
    await using master = await RedisServer.start();
    await using _replica = await RedisServer.start({ args: ['--replicaof', master.host, `${master.port}`] });
    await eventually(async () => {
      expect(await master.ask((client) => client.call('WAIT', 1, 500))).toBe(1);
    });
    await using host = await startHost({ url: master.url }, { replicas: 1, commandTimeout: '5s' });
    await (await host.locks.acquire('stock')).release();
    expect(costOf(await commandsDuring([master], () => work(host.locks)))).toEqual(costIn(what));
  });

  it.each(Object.entries(atEachNode))('is as the README says: %s', async (what, workOf) => {
    await using nodes = await Nodes.start(3);
    await using host = await startQuorumHost(nodes.servers, { commandTimeout: '5s', ttl: '60s' });
    const all = async (measure: (work: () => Promise<unknown>) => Promise<void>) => {
      const lock = await host.locks.acquire('stock');
      // A majority has decided; what the last node is still asked is no part of what is measured.
      await eventually(async () => {
        expect(await nodes.get('shop:lock:{stock}:fence')).toEqual(Array(3).fill(`${lock.fencingToken}`));
      });
      for (const work of workOf(host.locks, lock)) await measure(work);
    };
    await all(async (work) => {
      await work();
    });
    await nodes.flush();
    const expected = { ...costIn(what), evalsha: costIn(what).evalsha * 3 };
    await all(async (work) => {
      // A majority has decided; the last node may still be at it.
      const atAll = () =>
        eventually(async () => {
          const calls = nodes.servers.map((server) => server.ask((client) => client.info('commandstats')));
          const sum = (await Promise.all(calls)).map((stats) =>
            Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0),
          );
          expect(sum.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(expected.evalsha);
        });
      expect(costOf(await commandsDuring(nodes.servers, () => work().then(atAll)))).toEqual(expected);
    });
  });
});
