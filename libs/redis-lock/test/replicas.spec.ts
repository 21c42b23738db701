import { jest } from '@jest/globals';
import { Injectable, Logger } from '@nestjs/common';
import { getRedisConnectionToken, RedisUnavailableError, type RedisConnection } from '@redstart/redis-core';
import { cluster, commandsDuring, describeOn, eventually, FaultProxy, RedisServer } from '@redstart/redis-testing';
import {
  CronLock,
  LockLostError,
  LockNotReplicatedError,
  onLockEvent,
  RedisLockModule,
  type LockEvent,
} from '../src/index.js';
import { costOf } from './cost-table.js';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, watch, type Host } from './support.js';

const key = 'shop:lock:{order:42}';

@Injectable()
class Jobs {
  runs = 0;

  @CronLock('report')
  report(): Promise<string> {
    this.runs++;
    return Promise.resolve('done');
  }
}

/** What happened to the locks of this process during some work. */
async function eventsDuring(work: () => Promise<unknown>): Promise<LockEvent[]> {
  const events: LockEvent[] = [];
  const stop = onLockEvent((event) => events.push(event));
  try {
    await work();
  } finally {
    stop();
  }
  return events;
}

describe('a lock that replicas have to confirm', () => {
  let master: RedisServer;
  let link: FaultProxy;
  let replica: RedisServer;
  let host: Host;
  beforeAll(async () => {
    master = await RedisServer.start();
    link = await FaultProxy.start(master);
    replica = await RedisServer.start({ args: ['--replicaof', link.host, `${link.port}`] });
    await inSync();
    host = await startHost({ url: master.url }, { replicas: 1, commandTimeout: '5s' });
  }, 30_000);
  afterAll(async () => {
    await host.app.close();
    await replica.stop();
    await link.stop();
    await master.stop();
  });
  beforeEach(async () => {
    await master.flush();
    await inSync();
  });

  const inSync = () =>
    eventually(
      async () => {
        expect(await master.ask((redis) => redis.call('WAIT', 1, 500))).toBe(1);
      },
      { within: 20_000 },
    );
  const atMaster = (name = key) => master.ask((redis) => redis.get(name));
  const atReplica = (name = key) => replica.ask((redis) => redis.get(name));
  /** Replication takes its time, so that whoever does not wait for it is found out. */
  const slowReplication = () => link.latency(150);

  it('is at the replica when it is granted, also when it was handed over', async () => {
    using slow = slowReplication();
    const lock = await host.locks.acquire('order:42', { ttl: '20s' });
    expect(await atReplica()).toMatch(new RegExp(`^${lock.token}`));
    const next = host.locks.acquire('order:42', { ttl: '20s' });
    await eventually(async () => {
      expect((await host.locks.inspect('order:42'))?.waiting).toBe(1);
    });
    await lock.release();
    const { token, fencingToken } = await next;
    expect(fencingToken).toBeGreaterThan(lock.fencingToken);
    expect(await atReplica()).toMatch(new RegExp(`^${token}`));
    expect(slow.injected).toBeGreaterThan(0);
    await (await next).release();
  });

  it('is told of as acquired when it is confirmed, and not before', async () => {
    await using driven = await DrivenHost.start({ url: master.url }, { replicas: 1 });
    const granted = deferred();
    const confirmed = deferred();
    driven.onCall('lock.replicate', async (send) => {
      granted.resolve();
      await confirmed.promise;
      return send();
    });
    const events = await eventsDuring(async () => {
      const taking = driven.locks.acquire('order:42');
      await granted.promise;
      expect(await atMaster()).not.toBeNull();
      expect(driven.locks.stats()).toMatchObject({ attempts: 1, pending: 1, acquired: 0, held: 0 });
      driven.clock.advance(70);
      confirmed.resolve();
      const lock = await taking;
      expect(driven.locks.stats()).toMatchObject({ pending: 0, acquired: 1, held: 1, waitedMs: 70 });
      driven.clock.advance(30);
      await lock.extend();
      await lock.release();
    });
    expect(events).toMatchObject([
      { event: 'attempt' },
      { event: 'acquired', waitedMs: 70 },
      { event: 'extended' },
      { event: 'released', heldMs: 30, wasHeld: true },
    ]);
  });

  it('keeps no other from being confirmed when a permission for it is missing', async () => {
    const permit = (...patterns: string[]) =>
      master.client().call('ACL', 'SETUSER', 'worker', 'on', '>secret', 'resetkeys', '&*', '+@all', ...patterns);
    await permit('~shop:lock:*');
    const url = Object.assign(new URL(master.url), { username: 'worker', password: 'secret' });
    await using worker = await DrivenHost.start({ url: url.href }, { replicas: 1 });
    worker.onCall('lock.acquire', async (send) => {
      const answer = await send();
      await permit('~shop:lock:{order:1}*', '~shop:lock:{order:3}*');
      return answer;
    });
    const orders = ['order:1', 'order:2', 'order:3'];
    const results = await Promise.allSettled(orders.map((order) => worker.locks.acquire(order)));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(results[1]).toMatchObject({ reason: { code: 'REDIS_COMMAND', reason: 'NOPERM' } });
    await permit('~shop:lock:*'); // It has to be given back.
    for (const result of results) if (result.status === 'fulfilled') expect(await result.value.release()).toBe(true);
  });

  it('covers all of several locks', async () => {
    using slow = slowReplication();
    const lock = await host.locks.acquire([['a'], ['b']], { ttl: '20s' });
    for (const name of lock.keys) expect(await atReplica(name)).toMatch(new RegExp(`^${lock.token}`));
    expect(slow.injected).toBeGreaterThan(0);
    await lock.release();
  });

  describe('while the replica hangs', () => {
    let brisk: Host;
    beforeAll(async () => {
      brisk = await startHost({ url: master.url }, { replicas: 1, commandTimeout: 1_000 });
    });
    afterAll(() => brisk.app.close());
    beforeEach(() => {
      replica.pause();
    });
    afterEach(() => {
      replica.resume();
    });

    it('is refused in time and given back, and granted when the replica goes on', async () => {
      const since = performance.now();
      const error = await failureOf(brisk.locks.acquire('order:42', { ttl: '20s', minHold: '10s' }));
      expect(error).toBeInstanceOf(LockNotReplicatedError);
      expect(error).toMatchObject({ code: 'LOCK_NOT_REPLICATED', key, needed: 1, confirmed: 0 });
      expect(error).toMatchObject({ response: { status: 503, retryAfterMs: 1_000 } });
      expect(performance.now() - since).toBeGreaterThanOrEqual(990);
      expect(performance.now() - since).toBeLessThan(15_000);
      await eventually(async () => {
        expect(await master.ask((redis) => redis.exists(key))).toBe(0);
      });
      replica.resume();
      await eventually(async () => (await brisk.locks.acquire('order:42')).release());
    });

    it('runs no work, and is no null for who only tries', async () => {
      let runs = 0;
      const work = () => Promise.resolve((runs += 1));
      await expect(brisk.locks.withLock('order:42', {}, work)).rejects.toThrow(LockNotReplicatedError);
      await expect(brisk.locks.tryAcquire('order:43')).rejects.toThrow(LockNotReplicatedError);
      expect(runs).toBe(0);
    });

    it('holds up no other command of its application', async () => {
      await using patient = await startHost({ url: master.url }, { replicas: 1, commandTimeout: '15s' });
      const { client } = patient.app.get<RedisConnection>(getRedisConnectionToken());
      const taking = patient.locks.acquire('order:42', { ttl: '60s' });
      const state = watch(taking);
      const expectWaiting = () =>
        eventually(async () => {
          expect(await master.ask((redis) => redis.info('clients'))).toMatch(/^blocked_clients:1/m);
        });
      await expectWaiting();
      await client.ping();
      await expectWaiting();
      expect(state.settled).toBe(false);
      replica.resume();
      expect(await (await taking).release()).toBe(true);
    });

    it('holds up no queue of grants', async () => {
      const subjects = Array.from({ length: 12 }, (_, index) => ['order', index]);
      const counts = await commandsDuring([master], async () => {
        const refused = subjects.map((subject) => failureOf(brisk.locks.acquire(subject, { ttl: '20s' })));
        for (const error of await Promise.all(refused)) expect(error).toBeInstanceOf(LockNotReplicatedError);
      });
      // One for the first that is granted, one for those that came meanwhile; a busy machine may bring them in more groups, but not one by one.
      expect(costOf(counts).wait).toBeGreaterThanOrEqual(1);
      expect(costOf(counts).wait).toBeLessThanOrEqual(6);
    });

    it('is told of as an attempt that failed, never as a lock that somebody had', async () => {
      const before = brisk.locks.stats();
      const events = await eventsDuring(async () => {
        await failureOf(brisk.locks.acquire('order:42', { ttl: '20s' }));
        await failureOf(brisk.locks.acquire([['a'], ['b']], { ttl: '20s' }));
        await eventually(async () => {
          expect(await master.ask((redis) => redis.exists(key, 'shop:lock:{a}', 'shop:lock:{b}'))).toBe(0);
        });
      });
      expect(events.map(({ kind, event }) => `${kind} ${event}`)).toEqual([
        'mutex attempt',
        'mutex failed',
        'multi-lock attempt',
        'multi-lock failed',
      ]);
      for (const event of events) if (event.event === 'failed') expect(event.reason).toBe('not-replicated');
      const { attempts, failed, pending, acquired, released, held, heldMs } = brisk.locks.stats();
      expect([attempts - before.attempts, failed - before.failed]).toEqual([2, 2]);
      expect({ acquired, released, heldMs }).toEqual({
        acquired: before.acquired,
        released: before.released,
        heldMs: before.heldMs,
      });
      expect([pending, held]).toEqual([0, 0]);
    });

    it('runs no scheduled job: it is left out with a warning, and runs again when the replica goes on', async () => {
      const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
      await using instance = await startHost({ url: master.url }, { replicas: 1, commandTimeout: 1_000 }, [Jobs]);
      const jobs = instance.app.get(Jobs);
      for (let tick = 0; tick < 2; tick++) expect(await jobs.report()).toBeUndefined();
      expect(jobs.runs).toBe(0);
      expect(warn.mock.calls).toEqual([
        [
          expect.stringMatching(
            /^"report" is left out, since after a failover it could run elsewhere as well: .*0 of the 1/,
          ),
        ],
      ]);
      replica.resume();
      await eventually(async () => {
        expect(await jobs.report()).toBe('done');
      });
      expect(jobs.runs).toBe(1);
      warn.mockRestore();
    });

    it('is handed on when it is given back, until everybody has been refused', async () => {
      const errors = await Promise.all([1, 2, 3].map(() => failureOf(brisk.locks.acquire('order:42'))));
      for (const error of errors) expect(error).toBeInstanceOf(LockNotReplicatedError);
      await eventually(async () => {
        expect(await master.ask((redis) => redis.keys('shop:lock:{order:42}*'))).toEqual([`${key}:fence`]);
      });
    });
  });

  it('is refused when more replicas are asked for than there are', async () => {
    await using two = await startHost({ url: master.url }, { replicas: 2, commandTimeout: '2s' });
    expect(await failureOf(two.locks.acquire('order:42'))).toMatchObject({ needed: 2, confirmed: 1 });
  });

  it('rejects when the master hangs, leaves nothing behind, and goes on with a new connection', async () => {
    await using proxy = await FaultProxy.start(master);
    await using far = await startHost({ url: proxy.url }, { replicas: 1, commandTimeout: 1_500 });
    await (await far.locks.acquire('warm-up')).release();
    const reset = proxy.reset();
    expect(reset.injected).toBeGreaterThanOrEqual(2);
    await eventually(async () => (await far.locks.acquire('order:42')).release());
    const hole = proxy.blackhole();
    const since = performance.now();
    expect(await failureOf(far.locks.acquire('order:42'))).toBeInstanceOf(RedisUnavailableError);
    expect(performance.now() - since).toBeLessThan(15_000);
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    await eventually(async () => (await far.locks.acquire('order:42')).release());
    await eventually(async () => {
      expect(await master.ask((redis) => redis.exists(key))).toBe(0);
    });
  });

  it('is not granted by a master that has forgotten it meanwhile', async () => {
    await using driven = await DrivenHost.start({ url: master.url }, { replicas: 1 });
    driven.onCall('lock.replicate', async (send) => {
      await master.flush();
      return send();
    });
    const events = await eventsDuring(async () => {
      const error = await failureOf(driven.locks.acquire('order:42'));
      expect(error).toBeInstanceOf(LockLostError);
      expect(error).toMatchObject({ reason: 'taken' });
    });
    expect(events).toMatchObject([{ event: 'attempt' }, { event: 'failed', reason: 'lost' }]);
  });

  it('runs no scheduled job whose lock the master forgets before it begins', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await using instance = await startHost({ url: master.url }, { replicas: 1 }, [Jobs]);
    const jobs = instance.app.get(Jobs);
    const connection = instance.app.get<RedisConnection>(getRedisConnectionToken());
    const call = connection.call.bind(connection);
    connection.call = async (what, send) => {
      if (what.operation === 'lock.replicate') await master.flush();
      return call(what, send);
    };
    expect([await jobs.report(), jobs.runs]).toEqual([undefined, 0]);
    expect(warn.mock.calls).toEqual([[expect.stringMatching(/^"report" is left out, since its lock was lost before/)]]);
    connection.call = call;
    expect(await jobs.report()).toBe('done');
    warn.mockRestore();
  });

  it.each(['a', 'b'])('is not granted when one of several keys has gone meanwhile: %s', async (gone) => {
    await using driven = await DrivenHost.start({ url: master.url }, { replicas: 1 });
    driven.onCall('lock.replicate', async (send) => {
      await master.ask((redis) => redis.del(`shop:lock:{${gone}}`));
      return send();
    });
    const error = await failureOf(driven.locks.acquire([['a'], ['b']]));
    expect(error).toMatchObject({ code: 'LOCK_LOST', reason: 'taken' });
    await eventually(async () => {
      expect(await master.ask((redis) => redis.exists('shop:lock:{a}', 'shop:lock:{b}'))).toBe(0);
    });
  });

  it('does not stay with a connection that is open and silent', async () => {
    await using proxy = await FaultProxy.start(master);
    await using far = await startHost({ url: proxy.url }, { replicas: 1, commandTimeout: 1_500 });
    await (await far.locks.acquire('warm-up')).release();
    const lost = proxy.dropReply('WAIT');
    expect(await failureOf(far.locks.acquire('order:42'))).toBeInstanceOf(RedisUnavailableError);
    await eventually(() => lost.injected === 1);
    // The next one has a connection that answers.
    const lock = await far.locks.acquire('order:42');
    expect(await lock.release()).toBe(true);
  });

  it('is not granted when its lease may have lapsed before the replicas answered', async () => {
    await using driven = await DrivenHost.start({ url: master.url }, { replicas: 1 });
    const answered = deferred();
    driven.onCall('lock.replicate', async (send) => {
      const answer = await send();
      driven.clock.advance(20_000);
      answered.resolve();
      return answer;
    });
    const events = await eventsDuring(async () => {
      const failure = failureOf(driven.locks.acquire('order:42', { ttl: '20s' }));
      await answered.promise;
      expect(await failure).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
    });
    expect(events).toMatchObject([{ event: 'attempt' }, { event: 'failed', reason: 'lost' }]);
    await eventually(async () => {
      expect(await master.ask((redis) => redis.exists(key))).toBe(0);
    });
  });

  it('refuses wrong numbers of replicas where they are written', () => {
    for (const replicas of [-1, 1.5, NaN, 101]) {
      expect(() => RedisLockModule.forRoot({ replicas })).toThrow(/RedisLockModule\.replicas: got/);
    }
    expect(() => RedisLockModule.forRoot({ replicas: 0 })).not.toThrow();
  });
});

describeOn(cluster)('replicas', (redis) => {
  it('are refused at boot: one WAIT can not speak for several masters', async () => {
    const error = await failureOf(startHost(redis.connection, { replicas: 1 }));
    expect(error.message).toMatch(/RedisLockModule\.replicas: is not possible on a Cluster/);
  });
});
