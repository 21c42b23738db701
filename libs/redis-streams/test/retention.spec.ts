import { ManualClock, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import type { Cluster, Redis } from 'ioredis';
import { defineStream, event, getStreamToken, RedisStreams, type StreamProducer } from '../src/index.js';
import { streamKeys } from '../src/keys.js';
import { resolveRetention, type StreamRetention } from '../src/retention/retention.js';
import { StreamKeeper } from '../src/retention/stream-keeper.js';
import { trimScript, type Trimming } from '../src/scripts/trim.js';
import { orders } from './support/orders.js';
import { ordersKey } from './support/read-redis.js';
import { closeApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const call = { library: 'test', operation: 'test', budgetMs: 10_000 };
const capped = defineStream('capped', {
  events: { tick: event<number>() },
  retention: { hardMaxLen: 100 },
});
const cappedKey = 'shop:stream:{capped}';

/** Entries 1-0, 2-0 and so on. */
async function fill(client: Redis | Cluster, count: number, from = 1): Promise<void> {
  const adding = Array.from({ length: count }, (_, n) => client.xadd(ordersKey, `${from + n}-0`, 't', 'a', 'd', '1'));
  await Promise.all(adding);
}

/** Lets a group read so many entries, and acknowledge all of them but those. */
async function handle(client: Redis | Cluster, group: string, count: number, unfinished: readonly string[] = []) {
  const reply = await client.xreadgroup('GROUP', group, 'c', 'COUNT', count, 'STREAMS', ordersKey, '>');
  const entries = (reply as [string, [string, string[]][]][])[0]?.[1] ?? [];
  const done = entries.map(([id]) => id).filter((id) => !unfinished.includes(id));
  if (done.length > 0) await client.xack(ordersKey, group, ...done);
}

async function ids(client: Redis | Cluster): Promise<number[]> {
  return (await client.xrange(ordersKey, '-', '+')).map(([id]) => Number(id.split('-')[0]));
}

/** What a keeper does in one turn. */
async function trim(connection: RedisConnection, retention: StreamRetention): Promise<Trimming | undefined> {
  const { maxAgeMs, maxLen, hardMaxLen } = resolveRetention(retention, 'retention') ?? {};
  const { stream, keeper } = streamKeys(connection.keys, 'orders');
  const limits = [maxAgeMs ?? -1, maxLen ?? -1, hardMaxLen ?? -1];
  let last: Trimming | undefined;
  let trimmed = 0;
  do {
    last = await connection.scripts.run(call, trimScript, [stream, keeper], [0, ...limits]);
    trimmed += last?.trimmed ?? 0;
  } while (last?.more === true);
  return last && { ...last, trimmed };
}

describe('a stream with hardMaxLen, and an account that may not look at its groups', () => {
  it('takes what is published all the same, since it has been added by then', async () => {
    await using server = await RedisServer.start();
    await server.client().call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', '-xinfo');
    const app = await startApp({
      connection: { url: server.url.replace('redis://', 'redis://app:pw@') },
      streams: [capped],
    });
    const producer = app.get<StreamProducer<typeof capped>>(getStreamToken(capped));
    for (let n = 0; n < 105; n += 1) await producer.publish('tick', n);
    expect(await server.client().xlen(cappedKey)).toBe(105);
    await closeApps();
  });
});

describeOn(standalone, cluster)('retention', (redis) => {
  async function start(options: Partial<AppOptions> = {}) {
    const app = await startApp({ connection: redis.connection, streams: [orders, capped], ...options });
    const { connection } = app.get(RedisStreams);
    return { app, connection, client: redis.client() };
  }

  it('drops what exceeds maxLen, up to the first entry that some group has not finished', async () => {
    const { connection, client } = await start();
    await fill(client, 500);
    await client.xgroup('CREATE', ordersKey, 'fast', '0');
    await client.xgroup('CREATE', ordersKey, 'slow', '0');
    const maxLen = { maxLen: 100 };

    // One has read nothing yet.
    await handle(client, 'fast', 500);
    expect(await trim(connection, maxLen)).toMatchObject({ trimmed: 0, heldBack: { group: 'slow', floor: '0-1' } });
    // One entry is still being worked on.
    await handle(client, 'slow', 200, ['10-0']);
    expect(await trim(connection, maxLen)).toMatchObject({ trimmed: 9, heldBack: { group: 'slow', floor: '10-0' } });
    expect((await ids(client))[0]).toBe(10);
    await client.xack(ordersKey, 'slow', '10-0');
    expect(await trim(connection, maxLen)).toMatchObject({ trimmed: 191, heldBack: { group: 'slow', floor: '200-1' } });
    expect((await ids(client))[0]).toBe(201);
    // All have finished: what is left is the history that was asked for.
    await handle(client, 'slow', 500);
    expect(await trim(connection, maxLen)).toMatchObject({ trimmed: 200, heldBack: undefined, lost: 0 });
    expect(await ids(client)).toEqual(Array.from({ length: 100 }, (_, n) => 401 + n));
    expect(await trim(connection, maxLen)).toMatchObject({ trimmed: 0, heldBack: undefined });
  });

  it('drops what is older than maxAge, up to the first entry that some group has not finished', async () => {
    const { connection, client } = await start();
    await fill(client, 300);
    for (let n = 0; n < 5; n += 1) await client.xadd(ordersKey, '*', 't', 'a', 'd', '1');
    await client.xgroup('CREATE', ordersKey, 'g', '0');
    await handle(client, 'g', 250, ['130-0']);

    expect(await trim(connection, { maxAge: '1h' })).toMatchObject({ trimmed: 129, heldBack: { floor: '130-0' } });
    await client.xack(ordersKey, 'g', '130-0');
    expect(await trim(connection, { maxAge: '1h' })).toMatchObject({ trimmed: 121, heldBack: { floor: '250-1' } });
    await handle(client, 'g', 100);
    expect(await trim(connection, { maxAge: '1h' })).toMatchObject({ trimmed: 50, heldBack: undefined });
    expect(await client.xlen(ordersKey)).toBe(5);
  });

  it('keeps everything of a stream without groups, and of none at all', async () => {
    const { connection, client } = await start();
    expect(await trim(connection, { maxLen: 1 })).toMatchObject({ trimmed: 0, heldBack: undefined });
    await fill(client, 50);
    expect(await trim(connection, { maxLen: 1, maxAge: '1s' })).toMatchObject({ trimmed: 0, heldBack: undefined });
    expect(await client.xlen(ordersKey)).toBe(50);
  });

  it('works off a long history in parts', async () => {
    const { connection, client } = await start();
    const note = 'x'.repeat(1_000);
    for (let part = 0; part < 6; part += 1) {
      await Promise.all(Array.from({ length: 2_000 }, () => client.xadd(ordersKey, '*', 't', 'a', 'd', note)));
    }
    await client.xgroup('CREATE', ordersKey, 'g', '$');
    const { stream, keeper } = streamKeys(connection.keys, 'orders');
    const one = await connection.scripts.run(call, trimScript, [stream, keeper], [0, -1, 10, -1]);
    expect(one).toMatchObject({ more: true });
    expect(one?.trimmed).toBeGreaterThan(500);
    expect(one?.trimmed).toBeLessThan(2_500);
    expect((await trim(connection, { maxLen: 10 }))?.more).toBe(false);
    expect(await client.xlen(ordersKey)).toBe(10);
  });

  it('never drops what is not finished, whatever groups do', async () => {
    const { connection, client } = await start();
    const random = (below: number) => Math.floor(Math.random() * below);
    await client.xgroup('CREATE', ordersKey, 'a', '0', 'MKSTREAM');
    await client.xgroup('CREATE', ordersKey, 'b', '0');
    let added = 0;
    const unfinished = { a: new Set<number>(), b: new Set<number>() };
    for (let round = 0; round < 60; round += 1) {
      const count = random(8);
      await fill(client, count, added + 1);
      for (let n = added + 1; n <= added + count; n += 1) {
        unfinished.a.add(n);
        unfinished.b.add(n);
      }
      added += count;
      for (const group of ['a', 'b'] as const) {
        const reply = await client.xreadgroup('GROUP', group, 'c', 'COUNT', 1 + random(6), 'STREAMS', ordersKey, '>');
        for (const [id] of (reply as [string, [string][]][] | null)?.[0]?.[1] ?? []) {
          if (random(4) === 0) continue; // It stays pending, perhaps for ever.
          await client.xack(ordersKey, group, id);
          unfinished[group].delete(Number(id.split('-')[0]));
        }
      }
      await trim(connection, { maxLen: 1 + random(5) });
      const there = new Set(await ids(client));
      const missing = [...unfinished.a, ...unfinished.b].filter((n) => !there.has(n));
      expect(missing).toEqual([]);
    }
    expect(added).toBeGreaterThan(60);
  });

  it('holds a capped stream to its limit, and counts what a group has lost by it', async () => {
    const { app, client } = await start();
    const producer = app.get<StreamProducer<typeof capped>>(getStreamToken(capped));
    for (let n = 0; n < 150; n += 1) await producer.publish('tick', n);
    expect(await client.xlen(cappedKey)).toBeLessThanOrEqual(100);
    // Nobody was there to miss them.
    expect(producer.retention.lost).toBe(0);

    await client.xgroup('CREATE', cappedKey, 'done', '$');
    await client.xgroup('CREATE', cappedKey, 'slow', '0');
    const before = await client.xlen(cappedKey);
    for (let n = 0; n < 200; n += 1) await producer.publish('tick', n, n % 2 === 0 ? {} : { messageId: `m-${n}` });
    const length = await client.xlen(cappedKey);
    expect(length).toBeLessThanOrEqual(100);
    expect(producer.retention.lost).toBe(before + 200 - length);
  });

  it('counts what was lost while it was pending, and once for all groups', async () => {
    const { connection, client } = await start();
    await fill(client, 50);
    await client.xgroup('CREATE', ordersKey, 'a', '0');
    await client.xgroup('CREATE', ordersKey, 'b', '0');
    await handle(client, 'a', 50, ['2-0', '3-0']);
    await handle(client, 'b', 50, ['3-0', '4-0', '45-0']);
    // 12 too many, and 3 more as room for the next ones.
    expect(await trim(connection, { hardMaxLen: 38 })).toMatchObject({ lost: 3 });
    expect((await ids(client))[0]).toBe(16);
  });

  it('counts what was lost also behind entries that were lost before and are pending still', async () => {
    const { connection, client } = await start();
    await fill(client, 600);
    await client.xgroup('CREATE', ordersKey, 'slow', '0');
    await client.xreadgroup('GROUP', 'slow', 'c', 'COUNT', 600, 'STREAMS', ordersKey, '>');
    const { stream, keeper } = streamKeys(connection.keys, 'orders');
    const lost: (number | undefined)[] = [];
    for (let turn = 0; turn < 2; turn += 1) {
      const trimming = await connection.scripts.run(call, trimScript, [stream, keeper], [0, -1, -1, 100]);
      lost.push(trimming?.lost);
    }
    expect(lost).toEqual([200, 200]);
  });

  it('goes on while a group stands where it was reset to, behind the last id of a moment', async () => {
    const { connection, client } = await start();
    await fill(client, 5);
    await client.xgroup('CREATE', ordersKey, 'g', '2-18446744073709551615');
    expect(await trim(connection, { maxAge: '1h' })).toMatchObject({ trimmed: 2 });
    expect(await ids(client)).toEqual([3, 4, 5]);
  });

  it('is the work of one process at a time, which goes round its streams', async () => {
    const warnings: string[] = [];
    const quiet = () => undefined;
    const logger = { log: quiet, error: quiet, warn: (message: unknown) => warnings.push(String(message)) };
    const { connection, client } = await start({ logger, options: { consumers: false } });
    await fill(client, 100);
    await client.xgroup('CREATE', ordersKey, 'forgotten', '0');
    await handle(client, 'forgotten', 40);
    const retention = resolveRetention({ maxLen: 10 }, 'retention');
    const keys = streamKeys(connection.keys, 'orders');
    const keepers = [0, 1].map(() => {
      const clock = new ManualClock();
      const keeper = new StreamKeeper(connection, { retentionIntervalMs: 10_000, commandTimeoutMs: 10_000, clock });
      return { clock, keeper, counters: keeper.keep('orders', [keys], retention) };
    });
    for (const { keeper } of keepers) keeper.start();
    const turn = async () => {
      for (const { clock } of keepers) {
        clock.advance(11_000);
        await eventually(() => clock.pending === 1);
      }
    };
    await turn();
    expect(keepers.map(({ counters }) => counters.trimmed).toSorted()).toEqual([0, 40]);
    // Whoever is not the keeper does nothing.
    expect(await connection.scripts.run(call, trimScript, [keys.stream, keys.keeper], [1_000, -1, 10, -1])).toBe(
      undefined,
    );
    const ttl = await client.pttl(keys.keeper);
    expect(ttl).toBeGreaterThan(0);
    expect(ttl).toBeLessThanOrEqual(8_000);

    // A group that nobody consumes any more: told when it has stood still for ten minutes, and no more when it goes on.
    const stalled = () => keepers.reduce((sum, { counters }) => sum + counters.stalledGroups, 0);
    const later = async (minutes: number) => {
      for (let n = 0; n < minutes; n += 1) {
        for (const { clock } of keepers) clock.advance(49_000);
        await Promise.all(keepers.map(({ clock }) => eventually(() => clock.pending === 1)));
        await client.del(keys.keeper);
        await turn();
      }
    };
    await later(3);
    expect(stalled()).toBe(0);
    await later(12);
    expect(stalled()).toBeGreaterThan(0);
    expect(warnings.join()).toContain('The group "forgotten" keeps "shop:stream:{orders}" from being trimmed');
    await handle(client, 'forgotten', 100);
    await later(1);
    await later(1);
    expect(await client.xlen(ordersKey)).toBe(10);
    for (const { keeper } of keepers) await keeper.stop();
  });
});

describe('the options of retention', () => {
  it.each([
    [{}, 'is empty'],
    [{ maxLen: 0 }, 'retention.maxLen'],
    [{ maxAge: 'long' }, 'retention.maxAge'],
    [{ maxLen: 10, hardMaxLen: 5 }, 'retention.hardMaxLen: is less than maxLen'],
    [{ maxSize: 1 }, 'retention.maxSize'],
  ])('refuse %j', (retention, named) => {
    expect(() => defineStream('s', { events: { a: event<1>() }, retention: retention as never })).toThrow(named);
  });
});
