import type { TestingModule } from '@nestjs/testing';
import { getRedisConnectionToken, ManualClock, type RedisConnection } from '@redstart/redis-core';
import {
  cluster,
  describeOn,
  eventually,
  RedisServer,
  standalone,
  type TopologyConnection,
} from '@redstart/redis-testing';
import type { Cluster, Redis } from 'ioredis';
import { DelayMover } from '../src/delay/delay-mover.js';
import { Round } from '../src/delay/round.js';
import { RedisStreams } from '../src/index.js';
import { moveDueScript } from '../src/scripts/move-due.js';
import { orders } from './support/orders.js';
import { entries, ordersKey } from './support/read-redis.js';
import { closeApps, closingApps, startApp } from './support/start-app.js';

afterEach(closeApps);

const call = { library: 'test', operation: 'test', budgetMs: 10_000 };
const other = 'shop:stream:{other}';

function start(connection: TopologyConnection): Promise<TestingModule> {
  return startApp({ connection, streams: [orders], options: { consumers: false } });
}

/** How many scripts the masters have been asked to run. */
async function scriptsRun(client: Redis | Cluster): Promise<number> {
  const masters = 'nodes' in client ? client.nodes('master') : [client];
  const counts = await Promise.all(
    masters.map(async (master) => {
      const stats = await master.info('commandstats');
      return [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

async function serverMs(client: Redis | Cluster): Promise<number> {
  const [entry] = [await client.xadd('shop:stream:{orders}:clock', '*', 'a', 'b')];
  return Number(entry?.split('-')[0]);
}

describeOn(standalone, cluster)('a delay queue', (redis) => {
  it('moves messages when they are due and not before, bytes and all, and leaves nothing behind', async () => {
    const app = await start(redis.connection);
    const queue = app.get(RedisStreams).delays.queue(ordersKey);
    const bytes = Buffer.from([0, 255, 193, 128, 10]);
    const client = redis.client();
    const scheduled: { type: string; dueAtMs: number }[] = [];
    for (const inMs of [300, 100, 200]) {
      const type = `${inMs}`;
      const { dueAtMs = 0 } = await queue.schedule(call, `m-${inMs}`, { inMs }, ['t', type, 'd', bytes]);
      scheduled.push({ type, dueAtMs });
    }
    await eventually(async () => (await client.xlen(ordersKey)) === 3);

    const moved = await client.xrangeBuffer(ordersKey, '-', '+');
    // On a slow machine the last ones may have been scheduled so late that they are due after the first one.
    // Of one moment they come in the order of their ids.
    const due = scheduled.toSorted((a, b) => a.dueAtMs - b.dueAtMs || (a.type < b.type ? -1 : 1));
    expect(moved.map(([, fields]) => fields)).toEqual(
      due.map(({ type }) => [Buffer.from('t'), Buffer.from(type), Buffer.from('d'), bytes]),
    );
    moved.forEach(([id], at) => {
      const addedAt = Number(id.toString().split('-')[0]);
      expect(addedAt).toBeGreaterThanOrEqual(due[at]?.dueAtMs ?? Infinity);
    });
    expect(await client.exists(queue.keys.due, queue.keys.delayed)).toBe(0);
  });

  it('moves each message once, however many processes look', async () => {
    const apps = await Promise.all(Array.from({ length: 3 }, () => start(redis.connection)));
    const queues = apps.map((app) => app.get(RedisStreams).delays.queue(ordersKey));
    const atMs = (await serverMs(redis.client())) + 400;
    await Promise.all(
      queues.flatMap((queue, at) =>
        Array.from({ length: 300 }, (_, n) => queue.schedule(call, `${at}-${n}`, { atMs }, ['t', `${at}-${n}`])),
      ),
    );
    const client = redis.client();
    await eventually(async () => (await client.zcard(`${ordersKey}:due`)) === 0);
    expect(new Set((await entries(client, ordersKey)).map(({ t }) => t)).size).toBe(900);
    expect(await client.xlen(ordersKey)).toBe(900);
  });

  it('moves what a process left behind that is gone', async () => {
    const gone = await start(redis.connection);
    const queue = gone.get(RedisStreams).delays.queue(ordersKey);
    await gone.get(RedisStreams).delays.stop();
    await queue.schedule(call, 'm-1', { inMs: 1 }, ['t', 'a', 'd', '1']);
    const client = redis.client();
    expect(await client.zcard(queue.keys.due)).toBe(1);

    (await start(redis.connection)).get(RedisStreams).delays.queue(ordersKey);
    await eventually(async () => (await client.xlen(ordersKey)) === 1);
  });

  it('cancels and reschedules what is waiting, and tells what is not', async () => {
    const app = await start(redis.connection);
    const queue = app.get(RedisStreams).delays.queue(ordersKey);
    const hour = { inMs: 3_600_000 };
    for (const id of ['a', 'b', 'c']) await queue.schedule(call, id, hour, ['t', id, 'd', '1']);
    const client = redis.client();

    expect(await queue.cancel(call, 'a')).toBe(true);
    expect(await queue.cancel(call, 'a')).toBe(false);
    expect(await queue.reschedule(call, 'a', hour)).toBe(false);
    expect(await queue.reschedule(call, 'b', { inMs: 0 })).toBe(true);
    await eventually(async () => (await client.xlen(ordersKey)) === 1);
    expect(await entries(client, ordersKey)).toEqual([{ t: 'b', d: '1' }]);
    expect(await queue.reschedule(call, 'b', hour)).toBe(false);
    expect(await client.zrange(queue.keys.due, '0', '-1')).toEqual(['c']);
    expect(await client.hkeys(queue.keys.delayed)).toEqual(['c']);
  });

  it('schedules an id once', async () => {
    const app = await start(redis.connection);
    const queue = app.get(RedisStreams).delays.queue(ordersKey);
    const first = await queue.schedule(call, 'm', { inMs: 3_600_000 }, ['t', 'first', 'd', '1']);
    const second = await queue.schedule(call, 'm', { inMs: 5 }, ['t', 'second', 'd', '1']);
    expect(first).toMatchObject({ duplicate: false, waitMs: 3_600_000 });
    expect(second).toMatchObject({ duplicate: true, dueAtMs: first.dueAtMs });
  });

  it('goes on with the other streams when one can take nothing', async () => {
    const app = await start(redis.connection);
    const { delays } = app.get(RedisStreams);
    const client = redis.client();
    await client.set(other, 'no stream');
    await delays.queue(other).schedule(call, 'm', { inMs: 1 }, ['t', 'late', 'd', '1']);
    await delays.queue(ordersKey).schedule(call, 'm', { inMs: 1 }, ['t', 'fine', 'd', '1']);
    await eventually(async () => (await client.xlen(ordersKey)) === 1);

    expect(await client.zcard(`${other}:due`)).toBe(1);
    await client.del(other);
    await eventually(async () => (await client.xlen(other)) === 1);
  });

  it('moves about 4 MiB at a time: a script lets everybody else wait', async () => {
    const app = await start(redis.connection);
    await app.get(RedisStreams).delays.stop();
    const queue = app.get(RedisStreams).delays.queue(ordersKey);
    const { due, delayed, target } = queue.keys;
    const { scripts } = app.get<RedisConnection>(getRedisConnectionToken());
    const client = redis.client();
    const mebibyte = Buffer.alloc(1024 * 1024, 'x');
    for (let n = 0; n < 8; n += 1) await queue.schedule(call, `m-${n}`, { inMs: 0 }, ['t', 'large', 'd', mebibyte]);
    const keys = [due, delayed, target];
    expect(await scripts.run(call, moveDueScript, keys, [200])).toMatchObject([{ moved: 4, waitMs: 0 }]);
    expect(await client.xlen(target)).toBe(4);
    expect(await scripts.run(call, moveDueScript, keys, [200])).toMatchObject([{ moved: 4, waitMs: undefined }]);
    expect(await client.exists(due, delayed)).toBe(0);
  });

  it('drops a message whose content is gone or foreign, and moves those behind it', async () => {
    const app = await start(redis.connection);
    const queue = app.get(RedisStreams).delays.queue(ordersKey);
    const client = redis.client();
    await client.hset(queue.keys.delayed, 'foreign', 'no messagepack');
    await client.zadd(queue.keys.due, 1, 'gone', 2, 'foreign');
    await queue.schedule(call, 'm', { inMs: 1 }, ['t', 'fine', 'd', '1']);
    await eventually(async () => (await client.xlen(ordersKey)) === 1);
    expect(await client.exists(queue.keys.due, queue.keys.delayed)).toBe(0);
  });
});

describe('the next look', () => {
  it('comes when something is due that was scheduled while the last one was under way', async () => {
    const clock = new ManualClock();
    const looks: ((found: { moved: number; waitMs: number }) => void)[] = [];
    const look = () => new Promise<{ moved: number; waitMs: number }>((resolve) => looks.push(resolve));
    const round = new Round({ clock, look, idleMs: () => 60_000 });
    round.start();
    await clock.advanceAsync(0);
    expect(looks).toHaveLength(1);
    round.expect(500);
    looks[0]?.({ moved: 0, waitMs: Infinity });
    await clock.advanceAsync(499);
    expect(looks).toHaveLength(1);
    await clock.advanceAsync(1);
    expect(looks).toHaveLength(2);

    // As soon as the first of all that is due, and not sooner, whoever told of it.
    looks[1]?.({ moved: 1, waitMs: 2_000 });
    await clock.advanceAsync(100);
    round.expect(5_000);
    round.expect(700);
    await clock.advanceAsync(699);
    expect(looks).toHaveLength(2);
    await clock.advanceAsync(1);
    expect(looks).toHaveLength(3);
    looks[2]?.({ moved: 0, waitMs: Infinity });
    await round.stop();
    expect(clock.pending).toBe(0);
  });
});

describe('an idle mover', () => {
  it('sends one command a second, for however many streams', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const app = await start({ url: server.url });
    const clock = new ManualClock();
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const mover = new DelayMover(connection, { commandTimeoutMs: 10_000, clock });
    await app.get(RedisStreams).delays.stop();
    for (let n = 0; n < 300; n += 1) mover.queue(`shop:stream:{s-${n}}`);
    mover.start();
    const before = await scriptsRun(server.client());
    // Three looks cover them, and each of those waits for its answer: the clock stands still meanwhile.
    const looks = () => eventually(() => clock.pending === 3);
    for (let ms = 0; ms < 30_000; ms += 100) {
      clock.advance(100);
      await looks();
    }
    await mover.stop();
    const perSecond = ((await scriptsRun(server.client())) - before) / 30;
    expect(perSecond).toBeGreaterThan(0.7);
    expect(perSecond).toBeLessThanOrEqual(1.2);
  });

  it('goes on after an outage, with what was scheduled before', async () => {
    await using server = await RedisServer.start({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    await using _apps = closingApps();
    const app = await start({ url: server.url });
    const queue = app.get(RedisStreams).delays.queue(ordersKey);
    await queue.schedule(call, 'm', { inMs: 300 }, ['t', 'a', 'd', '1']);
    await server.kill();
    await server.restart();
    const client = server.client();
    await eventually(async () => (await client.xlen(ordersKey)) === 1, { within: 30_000 });
  });
});

describe('an account that may not take anything from a delay queue', () => {
  it('adds nothing to the stream either, however often it looks', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const client = server.client();
    await client.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', '-zrem');
    const app = await start({ url: server.url.replace('redis://', 'redis://app:pw@') });
    const { connection, delays } = app.get(RedisStreams);
    await delays.stop();
    const queue = delays.queue(ordersKey);
    await queue.schedule(call, 'm', { inMs: 0 }, ['t', 'a', 'd', '1']);
    const { due, delayed, target } = queue.keys;
    const look = () => connection.scripts.run(call, moveDueScript, [due, delayed, target], [10]);
    for (let looks = 0; looks < 2; looks += 1) expect(await look()).toMatchObject([{ moved: 0 }]);
    expect((await look())[0]?.problem).toBeDefined();
    expect(await client.exists(ordersKey)).toBe(0);
    await client.call('ACL', 'SETUSER', 'app', '+zrem');
    expect(await look()).toMatchObject([{ moved: 1, problem: undefined }]);
    expect(await client.xlen(ordersKey)).toBe(1);
  });
});
