import { once } from 'node:events';
import { jest } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import {
  getRedisConnectionToken,
  RedisUnavailableError,
  systemClock,
  type Clock,
  type RedisConnection,
} from '@redstart/redis-core';
import { cluster, describeOn, eventually, serversOf, standalone } from '@redstart/redis-testing';
import {
  defineStream,
  event,
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  type StreamContext,
  type StreamProducer,
} from '../src/index.js';
import { blockedReaders } from './support/readers.js';
import { closeApp, closeApps, compileApp, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

interface Moved {
  n: number;
}
const shipments = defineStream('shipments', { events: { moved: event<Moved>() }, partitions: 1 });
const ownerKey = 'shop:stream:{shipments/0}:owner:billing';
const membersKey = 'shop:stream:{shipments}:members:billing';
const patience = { within: 20_000 };

function consumerOf(behaviour: (payload: Moved, ctx: StreamContext) => unknown) {
  @StreamConsumer(shipments, { group: 'billing' })
  class Billing {
    @StreamHandler(shipments.event('moved'))
    moved(payload: Moved, ctx: StreamContext): unknown {
      return behaviour(payload, ctx);
    }
  }
  return Billing;
}

/** Holds the renewals of leases back, and nothing else. @returns how to let them go */
function holdRenewals(connection: RedisConnection): { held: () => number; release: () => void } {
  const send = connection.call.bind(connection);
  let release: () => void = () => undefined;
  let held = 0;
  const released = new Promise<void>((resolve) => (release = resolve));
  jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
    if (call.operation === 'streams.partitions') {
      held += 1;
      await released;
    }
    return send(call, ...rest);
  });
  return { held: () => held, release };
}

describeOn(standalone, cluster)('the lease of a partition', (redis) => {
  const appOf = (behaviour: Parameters<typeof consumerOf>[0], options: AppOptions['options']): AppOptions => ({
    connection: redis.connection,
    streams: [shipments],
    consumers: [consumerOf(behaviour)],
    options: { drainTimeout: 0, ...options },
  });
  const connectionOf = (app: TestingModule) => app.get<RedisConnection>(getRedisConnectionToken());
  const publish = (app: TestingModule, n: number) =>
    app.get<StreamProducer<typeof shipments>>(getStreamToken(shipments)).publish('moved', { n }, { key: 'a' });
  const owned = () => eventually(async () => (await redis.client().exists(ownerKey)) === 1, patience);

  it('ends by itself in Redis, as the membership does, and is nobody’s to give up but its owner’s', async () => {
    const client = redis.client();
    const app = await startApp(appOf(() => undefined, { minIdle: '30s' }));
    await owned();
    const [lease, membership] = [await client.pttl(ownerKey), await client.pttl(membersKey)];
    expect(lease).toBeGreaterThan(0);
    expect(lease).toBeLessThanOrEqual(30_000);
    expect(membership).toBeGreaterThan(0);
    expect(membership).toBeLessThanOrEqual(60_000);
    await client.set(ownerKey, 'another');
    await closeApp(app);
    expect(await client.get(ownerKey)).toBe('another');
  });

  it('is taken also beside a member of a time to which the clock of Redis has not come back yet', async () => {
    const ghosts = Array.from({ length: 20 }, (_, number) => [Date.now() + 3_600_000, `ghost-${number}`]).flat();
    await redis.client().zadd(membersKey, ...ghosts);
    const handled: number[] = [];
    const app = await startApp(appOf(({ n }) => handled.push(n), { minIdle: '30s' }));
    await owned();
    await publish(app, 1);
    await eventually(() => handled.length === 1, patience);
    expect(await redis.client().zcard(membersKey)).toBe(1);
  });

  it('is taken also when there is no getting at that of another partition', async () => {
    const client = redis.client();
    const parcels = defineStream('parcels', { events: { moved: event<Moved>() }, partitions: 3 });
    const ownerOf = (partition: number) => `shop:stream:{parcels/${partition}}:owner:billing`;
    await client.rpush(ownerOf(1), 'no lease');
    @StreamConsumer(parcels, { group: 'billing' })
    class Billing {
      @StreamHandler('moved')
      moved() {
        return undefined;
      }
    }
    await startApp({ connection: redis.connection, streams: [parcels], consumers: [Billing] });
    await eventually(async () => {
      expect(await client.get(ownerOf(0))).toMatch(/parcels$/);
      expect(await client.get(ownerOf(2))).toMatch(/parcels$/);
    }, patience);
    expect(await client.lrange(ownerOf(1), 0, -1)).toEqual(['no lease']);
  });

  /** So many beats take longer than the lease lasts. */
  const beats = 5;

  it('is renewed also while nobody can tell who is alive', async () => {
    const seen: number[] = [];
    const app = await startApp(appOf(({ n }) => seen.push(n), { minIdle: '5s', block: 500 }));
    const connection = connectionOf(app);
    await owned();
    const run = connection.scripts.run.bind(connection.scripts);
    let renewals = 0;
    jest.spyOn(connection.scripts, 'run').mockImplementation((call, script, ...rest) => {
      if (script.name === 'streams:join') return Promise.reject(new RedisUnavailableError('no answer', 'unknown'));
      if (script.name === 'streams:own') renewals += 1;
      return run(call, script, ...rest);
    });
    await eventually(() => renewals >= beats, patience);
    await publish(app, 1);
    await eventually(() => seen.length === 1, patience);
  });

  it('is renewed also while the reading of another one can not begin', async () => {
    const parcels = defineStream('parcels', { events: { moved: event<Moved>() }, partitions: 2 });
    const ownerOf = (partition: number) => `shop:stream:{parcels/${partition}}:owner:billing`;
    @StreamConsumer(parcels, { group: 'billing' })
    class Billing {
      @StreamHandler('moved')
      moved() {
        return undefined;
      }
    }
    const client = redis.client();
    await client.set(ownerOf(0), 'another');
    const options = { minIdle: '5s', block: 500, drainTimeout: 0 } as const;
    const app = await startApp({ connection: redis.connection, streams: [parcels], consumers: [Billing], options });
    const connection = connectionOf(app);
    await eventually(async () => (await client.exists(ownerOf(1))) === 1, patience);
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    let begun = 0;
    const send = connection.call.bind(connection);
    jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      if (call.operation === 'streams.ensureGroup') {
        begun += 1;
        await released;
      }
      return send(call, ...rest);
    });
    try {
      await client.del(ownerOf(0));
      await eventually(() => begun > 0, patience);
      const run = jest.spyOn(connection.scripts, 'run');
      const renewals = () =>
        run.mock.calls.filter(([, { name }, keys]) => name === 'streams:own' && keys.includes(ownerOf(1))).length;
      await eventually(() => renewals() >= beats, patience);
      expect(await client.get(ownerOf(1))).toMatch(/parcels$/);
    } finally {
      release();
    }
  });

  it('is renewed also while the breaker refuses everything else, and so is all that is held besides', async () => {
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    let begun = false;
    @StreamConsumer(shipments, { group: 'billing' })
    class Billing {
      @StreamHandler(shipments.event('moved'), { idempotent: true })
      async moved(): Promise<void> {
        begun = true;
        await ended;
      }
    }
    const app = await startApp({
      connection: { ...redis.connection, breaker: { failures: 1, openFor: '10m' } },
      streams: [shipments],
      consumers: [Billing],
      options: { drainTimeout: 0, minIdle: '3s', block: 500 },
    });
    const connection = connectionOf(app);
    await publish(app, 1);
    await eventually(() => begun, patience);
    await connection
      .call({ library: 'test', operation: 'outage', budgetMs: 1 }, () => new Promise(() => undefined))
      .catch(() => undefined);
    expect(connection.breakerState).toBe('open');
    const run = connection.scripts.run.bind(connection.scripts);
    const answered = new Set<string>();
    jest.spyOn(connection.scripts, 'run').mockImplementation(async (call, script, ...rest) => {
      const result = await run(call, script, ...rest);
      answered.add(script.name);
      return result;
    });
    try {
      await eventually(() => {
        expect([...answered].toSorted()).toEqual([
          ...['streams:inbox-renew', 'streams:join', 'streams:own', 'streams:renew'],
        ]);
      }, patience);
    } finally {
      end();
    }
  });

  it('ends here by itself when it can not be renewed', async () => {
    let signal: AbortSignal | undefined;
    const app = await startApp(
      appOf(
        (_payload, ctx) => {
          ({ signal } = ctx);
          return new Promise<void>(() => undefined);
        },
        { minIdle: '2s', block: 500 },
      ),
    );
    await publish(app, 1);
    // A process that stands still for so long loses it as well: then it begins anew, and the message with it.
    await eventually(() => signal?.aborted === false, patience);
    const renewals = holdRenewals(connectionOf(app));
    try {
      await eventually(() => signal?.aborted === true, patience);
      expect(String(signal?.reason)).toMatch(/The partition belongs to this consumer no more/);
      // One was tried, and did not come through.
      await eventually(() => renewals.held() > 0, patience);
    } finally {
      renewals.release();
    }
  });

  it('keeps the order of a key also while entries can not be renewed', async () => {
    const begun: number[] = [];
    const handled: number[] = [];
    let overtaken = false;
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const app = await startApp(
      appOf(
        async ({ n }, { signal }) => {
          begun.push(n);
          if (n === 1) await Promise.race([released, once(signal, 'abort')]);
          else overtaken ||= !handled.includes(1);
          signal.throwIfAborted();
          handled.push(n);
        },
        { minIdle: '1s', block: 250 },
      ),
    );
    const connection = connectionOf(app);
    const send = connection.call.bind(connection);
    let since = Infinity;
    jest.spyOn(connection, 'call').mockImplementation((call, ...rest) => {
      if (call.operation !== 'streams.renew') return send(call, ...rest);
      since = Math.min(since, systemClock.now());
      return Promise.reject(new RedisUnavailableError('no answer', 'unknown'));
    });
    await publish(app, 1);
    await eventually(() => begun.includes(1), patience);
    await publish(app, 2);
    // Nobody could take them meanwhile: the lease is renewed.
    await eventually(() => systemClock.now() - since > 1_200, patience);
    release();
    await eventually(() => handled.includes(2), patience);
    expect(overtaken).toBe(false);
  });

  it('lets no read begin that it may not outlast, until it is renewed', async () => {
    const seen: number[] = [];
    const app = await compileApp(appOf(({ n }) => seen.push(n), { minIdle: '2m', block: '30s' }));
    const connection = connectionOf(app);
    let shift = 0;
    const clock: Clock = { now: () => systemClock.now() + shift, after: (...timer) => systemClock.after(...timer) };
    jest.replaceProperty(connection, 'clock', clock);
    await app.init();
    let release: () => void = () => undefined;
    try {
      await owned();
      await blockedReaders(serversOf(redis), 1);
      ({ release } = holdRenewals(connection));
      // The process stands still until some 20 s before the end of its lease: a read may take 30.
      shift = 100_000;
      await publish(app, 1);
      await eventually(() => seen.length === 1, patience);
      // The read that was under way has brought that one; another one might go on when the partition is somebody else's.
      await publish(app, 2);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(seen).toEqual([1]);
      // As if it had been renewed.
      shift = 0;
      release();
      await eventually(() => {
        expect(seen).toEqual([1, 2]);
      }, patience);
    } finally {
      release();
      await closeApp(app);
    }
  }, 60_000);
});
