import { once } from 'node:events';
import { jest } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, serversOf, standalone } from '@redstart/redis-testing';
import { Dispatcher } from '../src/consumer/dispatcher.js';
import { KeyLanes } from '../src/consumer/key-lanes.js';
import { rendezvousOwner } from '../src/consumer/partitions/rendezvous.js';
import { murmur3 } from '../src/producer/murmur3.js';
import {
  defineStream,
  event,
  getStreamToken,
  RedisStreams,
  StreamAdmin,
  StreamConsumer,
  StreamHandler,
  UnrecoverableError,
  type StreamConsumerOptions,
  type StreamContext,
  type StreamHandlerOptions,
  type StreamProducer,
} from '../src/index.js';
import { orders } from './support/orders.js';
import { entries } from './support/read-redis.js';
import { closeApp, closeApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

interface Moved {
  n: number;
}
const partitions = 4;
const shipments = defineStream('shipments', { events: { moved: event<Moved>() }, partitions });
const keyOf = (partition: number) => `shop:stream:{shipments/${partition}}`;
/** A beat comes every 10 s: that is when members see what no message told them of. A lease that could not be given up ends after 30 s. */
const patience = { within: 60_000 };
/** How many members join until two share the partitions: seven of eight do, and beside one whose name is an extreme hardly anybody. Among n names none does twice in (n + 1)^4 times. */
const mostNames = 200;
const membersKey = 'shop:stream:{shipments}:members:billing';

type Behaviour = (payload: Moved, ctx: StreamContext) => unknown;

function consumerClass(
  behaviour: Behaviour,
  options: Omit<StreamConsumerOptions, 'group'> = {},
  handler: StreamHandlerOptions = {},
) {
  @StreamConsumer(shipments, { group: 'billing', ...options })
  class Billing {
    @StreamHandler(shipments.event('moved'), handler)
    moved(payload: Moved, ctx: StreamContext): unknown {
      return behaviour(payload, ctx);
    }
  }
  return Billing;
}

describeOn(standalone, cluster)('partitions', (redis) => {
  const startConsumer = (consumer: ReturnType<typeof consumerClass>, options: AppOptions['options'] = {}) =>
    startApp({
      connection: redis.connection,
      streams: [shipments],
      consumers: [consumer],
      options: { drainTimeout: 0, retry: { backoff: 1 }, ...options },
    });
  const start = (behaviour: Behaviour, ...more: [Omit<StreamConsumerOptions, 'group'>?, StreamHandlerOptions?]) =>
    startConsumer(consumerClass(behaviour, ...more));
  const producerOf = (app: TestingModule) => app.get<StreamProducer<typeof shipments>>(getStreamToken(shipments));
  function consumerOf(app: TestingModule) {
    const [consumer] = app.get(RedisStreams).consumers;
    if (consumer === undefined) throw new Error('There is one.');
    return consumer;
  }

  /** Who owns each partition, as Redis knows. */
  async function owners(): Promise<(string | null)[]> {
    const client = redis.client();
    return Promise.all(Array.from({ length: partitions }, (_, p) => client.get(`${keyOf(p)}:owner:billing`)));
  }
  const ownersAre = (count: number) =>
    eventually(async () => {
      const found = await owners();
      expect(found).not.toContain(null);
      expect(new Set(found).size).toBe(count);
      expect((await redis.client().zrange(membersKey, '0', '-1')).length).toBe(count);
    }, patience);
  /** The connections of readers, as the servers list them. */
  async function readers(): Promise<string[]> {
    const lists = await Promise.all(
      serversOf(redis).map((server) => server.ask(async (client) => String(await client.client('LIST')))),
    );
    return lists.flatMap((list) => list.split('\n')).filter((line) => line.includes('cmd=xreadgroup'));
  }
  /** How many connections it takes to read so many partitions: each is in another slot. */
  const readersOf = (count: number) => (redis.topology === 'cluster' ? count : 1);
  /** How many reads have been asked to end, as the servers count it. */
  async function endedReads(): Promise<number> {
    const counts = await Promise.all(
      serversOf(redis).map((server) =>
        server.ask(async (client) => {
          const stats = await client.info('commandstats');
          return Number(/^cmdstat_client\|unblock:calls=(\d+)/m.exec(stats)?.[1] ?? 0);
        }),
      ),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }
  const blocked = async () => (await readers()).filter((line) => / flags=\w*b/.test(line)).length;
  async function pendingInAll(): Promise<number> {
    const client = redis.client();
    const counts = await Promise.all(
      Array.from({ length: partitions }, async (_, p) => {
        const [count] = (await client.xpending(keyOf(p), 'billing')) as [number];
        return count;
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  it('handles the messages of a key one after the other in their order, and those of others meanwhile', async () => {
    const seen = new Map<string, number[]>();
    const running = new Set<string>();
    const beside: string[] = [];
    let together = 0;
    const app = await start(
      async ({ n }, { key }) => {
        if (running.has(key)) beside.push(`${key} ${n}`);
        running.add(key);
        together = Math.max(together, running.size);
        seen.set(key, [...(seen.get(key) ?? []), n]);
        await new Promise((resolve) => setTimeout(resolve, n % 3));
        running.delete(key);
      },
      { concurrency: 20 },
    );
    const producer = producerOf(app);
    const keys = Array.from({ length: 10 }, (_, index) => `key-${index}`);
    await producer.publishBatch(
      Array.from({ length: 200 }, (_, n) => ({ type: 'moved' as const, payload: { n }, key: keys[n % 10] ?? '' })),
    );
    await eventually(
      async () => {
        expect([...seen.values()].flat()).toHaveLength(200);
        expect(await pendingInAll()).toBe(0);
      },
      { within: 30_000 },
    );
    expect(beside).toEqual([]);
    for (const numbers of seen.values()) expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(together).toBeGreaterThan(1);
  }, 120_000);

  it('shares the partitions among members, each with one owner, and gives all to who is left', async () => {
    const seen: string[] = [];
    const behaviour =
      (name: string): Behaviour =>
      ({ n }) =>
        seen.push(`${name} ${n}`);
    // Names are random, and so is who gets what: members join until both have something.
    const first = await start(behaviour('a'));
    await ownersAre(1);
    let second = await start(behaviour('b'));
    for (let tries = 0; tries < mostNames && new Set(await settledOwners(2)).size < 2; tries += 1) {
      await closeApp(second);
      second = await start(behaviour('b'));
    }
    await ownersAre(2);
    await publish(producerOf(first), 0, 40);
    await eventually(async () => {
      expect(seen).toHaveLength(40);
      expect(await pendingInAll()).toBe(0);
    });
    expect(new Set(seen.map((text) => text.split(' ')[0]))).toEqual(new Set(['a', 'b']));
    expect(new Set(seen.map((text) => text.split(' ')[1])).size).toBe(40);

    await closeApp(second);
    await ownersAre(1);
    await publish(producerOf(first), 40, 60);
    await eventually(() => {
      expect(seen).toHaveLength(60);
    });
    for (const text of seen.slice(40)) expect(text).toMatch(/^a /);
  }, 120_000);

  it('gives a partition up only when what runs has been settled', async () => {
    const begun: string[] = [];
    const finish: (() => void)[] = [];
    const first = await start((_payload, { key }) => {
      begun.push(`a ${key}`);
      return new Promise<void>((resolve) => finish.push(resolve));
    });
    await ownersAre(1);
    const [owner] = await owners();
    const producer = producerOf(first);
    // Two messages of one key in each partition: one runs, the other waits behind it.
    const keys = keyInEachPartition();
    for (const key of keys) for (const n of [1, 2]) await producer.publish('moved', { n }, { key });
    await eventually(() => begun.length === partitions);
    const others: string[] = [];
    let second = await startWith();
    for (let tries = 0; tries < mostNames && wantedBy(await membersAre(2)).size < 2; tries += 1) {
      await closeApp(second);
      second = await startWith();
    }
    // Everybody knows who should have what, and the owner is the first still, everywhere.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await owners()).toEqual(Array.from({ length: partitions }, () => owner));
    expect(others).toEqual([]);
    for (let round = 0; round < 2; round += 1) {
      await eventually(() => {
        for (const end of finish.splice(0)) end();
        expect(begun.length + others.length).toBe(2 * partitions);
      }, patience);
    }
    for (const end of finish.splice(0)) end();
    await ownersAre(2);
    await eventually(async () => {
      for (const end of finish.splice(0)) end();
      expect(await pendingInAll()).toBe(0);
    });
    // The one that had begun was handled by its owner, the one behind it by the next owner.
    expect(others.length).toBeGreaterThan(0);
    for (const text of others) expect(text).toMatch(/ 2$/);

    function startWith() {
      return start(({ n }, { key }) => others.push(`${key} ${n}`));
    }
  }, 120_000);

  it('takes over in order what a dead owner had, before anything new', async () => {
    const dead = await start(() => new Promise<void>(() => undefined), { concurrency: 2 });
    await ownersAre(1);
    const [key = ''] = keyInEachPartition();
    const producer = producerOf(dead);
    for (const n of [1, 2, 3]) await producer.publish('moved', { n }, { key });
    await eventually(async () => (await pendingInAll()) === 3);
    const [name = ''] = await members();
    await dead.get<RedisConnection>(getRedisConnectionToken()).close();
    const seen: unknown[] = [];
    const alive = await start(({ n }, { deliveries }) => seen.push([n, deliveries]));
    await producerOf(alive).publish('moved', { n: 4 }, { key });
    // As if its leases had ended.
    const client = redis.client();
    await client.zrem(membersKey, name);
    for (let p = 0; p < partitions; p += 1) await client.del(`${keyOf(p)}:owner:billing`);
    await nudge(alive);
    await eventually(() => {
      expect(seen).toEqual([
        [1, 2],
        [2, 2],
        [3, 2],
        [4, 1],
      ]);
    }, patience);
    await eventually(async () => (await pendingInAll()) === 0);
  }, 120_000);

  it('stops at once when its lease is another’s', async () => {
    let signal: AbortSignal | undefined;
    const keys = keyInEachPartition();
    const [key = ''] = keys;
    const begun = new Set<string>();
    const app = await startConsumer(
      consumerClass((_payload, ctx) => {
        begun.add(ctx.key);
        if (ctx.key === key) signal = ctx.signal;
        return new Promise<void>(() => undefined);
      }),
      { block: '60s' },
    );
    await ownersAre(1);
    for (const each of keys) await producerOf(app).publish('moved', { n: 1 }, { key: each });
    await eventually(async () => begun.size === partitions && (await blocked()) === readersOf(partitions));
    const [partition] = consumerOf(app).parts;
    expect(partition?.silentMs).toBeGreaterThan(0);
    const endedBefore = await endedReads();
    await redis.client().set(`${keyOf(0)}:owner:billing`, 'thief');
    await nudge(app);
    await eventually(() => signal?.aborted === true, patience);
    // The read that was under way ends, and it reads there no more.
    await eventually(async () => {
      expect(partition?.silentMs).toBe(0);
      expect(await endedReads()).toBeGreaterThan(endedBefore);
      expect(await blocked()).toBe(readersOf(partitions - 1));
    });
    await producerOf(app).publish('moved', { n: 2 }, { key });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await pendingInAll()).toBe(partitions);
  }, 120_000);

  it('lets a key wait for its failed message, and no other key', async () => {
    const seen: string[] = [];
    const app = await start(
      ({ n }, { key, attempt }) => {
        seen.push(`${key} ${n} ${attempt}`);
        if (key === 'a' && n === 1 && attempt < 3) throw new Error('not yet');
        if (key === 'a' && n === 2) throw new UnrecoverableError('never');
      },
      { concurrency: 1 },
    );
    const producer = producerOf(app);
    for (const n of [1, 2, 3]) for (const key of ['a', 'b']) await producer.publish('moved', { n }, { key });
    await eventually(async () => {
      expect(seen).toHaveLength(8);
      expect(await pendingInAll()).toBe(0);
    });
    expect(seen.filter((text) => text.startsWith('a'))).toEqual(['a 1 1', 'a 1 2', 'a 1 3', 'a 2 1', 'a 3 1']);
    expect(seen.filter((text) => text.startsWith('b'))).toEqual(['b 1 1', 'b 2 1', 'b 3 1']);
    const letters = await Promise.all(
      Array.from({ length: partitions }, (_, p) => entries(redis.client(), `${keyOf(p)}:dlq:billing`)),
    );
    expect(letters.flat()).toMatchObject([{ d: '{"n":2}', 'x-reason': 'unrecoverable' }]);
  });

  it.each([
    ['that obeys', 'rejects'],
    ['that goes on regardless', 'resolves'],
  ])('counts a timeout as one failed attempt of a handler %s', async (_, outcome) => {
    const seen: string[] = [];
    const app = await start(
      async ({ n }, { key, attempt, signal }) => {
        seen.push(`${key} ${n} ${attempt}`);
        // It settles while its message waits for the next attempt.
        if (key === 'a' && n === 1 && attempt < 3) await once(signal, 'abort');
        if (attempt < 3 && outcome === 'rejects') signal.throwIfAborted();
      },
      { concurrency: 1 },
      { timeout: 50, retry: { attempts: 4, backoff: 100 } },
    );
    const producer = producerOf(app);
    for (const n of [1, 2]) for (const key of ['a', 'b']) await producer.publish('moved', { n }, { key });
    await eventually(async () => {
      expect(seen.filter((text) => text.startsWith('a'))).toEqual(['a 1 1', 'a 1 2', 'a 1 3', 'a 2 1']);
      expect(await pendingInAll()).toBe(0);
    }, patience);
    expect(seen.filter((text) => text.startsWith('b'))).toEqual(['b 1 1', 'b 2 1']);
  });

  it('lets the messages behind a failed one go on when it is to be skipped', async () => {
    const seen: string[] = [];
    // They are there before anybody reads: on a slow machine the last one might come after the second attempt of the first.
    const publisher = await startApp({ connection: redis.connection, streams: [shipments] });
    for (const n of [1, 2, 3]) await producerOf(publisher).publish('moved', { n }, { key: 'a' });
    await start(
      ({ n }, { attempt }) => {
        seen.push(`${n} ${attempt}`);
        if (n === 1 && attempt === 1) throw new Error('not yet');
      },
      { onFailure: 'skip' },
      { retry: { backoff: 500 } },
    );
    await eventually(() => {
      expect(seen).toEqual(['1 1', '2 1', '3 1', '1 2']);
    });
  });

  it('keeps the order of a key through a pause', async () => {
    const seen: number[] = [];
    const finish: (() => void)[] = [];
    const app = await startConsumer(
      consumerClass(({ n }) => {
        seen.push(n);
        return new Promise<void>((resolve) => finish.push(resolve));
      }),
      { block: '60s' },
    );
    await ownersAre(1);
    const producer = producerOf(app);
    for (const n of [1, 2, 3]) await producer.publish('moved', { n }, { key: 'a' });
    await eventually(async () => {
      expect(seen).toEqual([1]);
      expect(await pendingInAll()).toBe(3);
      expect(await blocked()).toBe(readersOf(partitions));
    });
    const consumer = consumerOf(app);
    expect(consumer.silentMs).toBeGreaterThan(0);
    await app.get(StreamAdmin).pause(shipments, 'billing');
    // No read ends by itself within a minute, and between two of them one is still waited for: none is when the pause is known, everywhere.
    await eventually(async () => {
      expect(consumer.silentMs).toBe(0);
      expect(await blocked()).toBe(0);
    });
    for (const end of finish.splice(0)) end();
    await eventually(async () => (await pendingInAll()) === 2);
    await producer.publish('moved', { n: 4 }, { key: 'a' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(seen).toEqual([1]);
    await app.get(StreamAdmin).resume(shipments, 'billing');
    await eventually(async () => {
      for (const end of finish.splice(0)) end();
      expect(seen).toEqual([1, 2, 3, 4]);
      expect(await pendingInAll()).toBe(0);
    });
  });

  it('reads the others on while one partition is paused, however much of that waits here', async () => {
    const seen: number[] = [];
    let end: () => void = () => undefined;
    const app = await start(
      ({ n }) => {
        seen.push(n);
        return n === 1 ? new Promise<void>((resolve) => (end = resolve)) : undefined;
      },
      { concurrency: 1, prefetch: 2 },
    );
    await ownersAre(1);
    const producer = producerOf(app);
    const keys = Array.from({ length: 100 }, (_, index) => `key-${index}`);
    const [first = '', second = '', third = ''] = keys.filter((key) => murmur3(key) % partitions === 0);
    const elsewhere = keys.find((key) => murmur3(key) % partitions === 1) ?? '';
    // At once: the read behind the first one finds both others.
    await Promise.all([first, second, third].map((key, at) => producer.publish('moved', { n: at + 1 }, { key })));
    await eventually(async () => {
      expect(seen).toEqual([1]);
      expect(await pendingInAll()).toBe(3);
    }, patience);
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const paused = `${keyOf(0)}:paused:billing`;
    const stall = jest.spyOn(Dispatcher.prototype, 'stall');
    await redis.client().set(paused, '1');
    await connection.subscriber.publish(connection.client, paused, 'paused');
    await eventually(() => {
      expect(stall).toHaveBeenCalledWith(expect.anything(), true);
    }, patience);
    stall.mockRestore();
    end();
    await producer.publish('moved', { n: 4 }, { key: elsewhere });
    await eventually(() => {
      expect(seen).toEqual([1, 4]);
    }, patience);
    await redis.client().del(paused);
    await eventually(() => {
      expect(seen).toEqual([1, 4, 2, 3]);
    }, patience);
  });

  async function nudge(app: TestingModule): Promise<void> {
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    await connection.subscriber.publish(connection.client, membersKey, 'changed');
  }
  const members = () => redis.client().zrange(membersKey, '0', '-1');
  const membersAre = (count: number) =>
    eventually(async () => {
      const names = await members();
      expect(names).toHaveLength(count);
      return names;
    }, patience);
  async function settledOwners(count: number): Promise<(string | null)[]> {
    const names = await membersAre(count);
    const settled = async () => {
      expect(await owners()).toEqual(Array.from({ length: partitions }, (_, p) => rendezvousOwner(p, names)));
    };
    await eventually(settled, patience); // A beat, if a message got lost.
    return owners();
  }
  function wantedBy(names: string[]): Set<string | undefined> {
    return new Set(Array.from({ length: partitions }, (_, p) => rendezvousOwner(p, names)));
  }
  async function publish(producer: StreamProducer<typeof shipments>, from: number, to: number): Promise<void> {
    for (let n = from; n < to; n += 1) await producer.publish('moved', { n }, { key: `key-${n}` });
  }
});

/** A key that goes to each partition, in their order. */
function keyInEachPartition(): string[] {
  const keys = Array.from({ length: 100 }, (_, index) => `key-${index}`);
  return Array.from({ length: partitions }, (_, p) => keys.find((key) => murmur3(key) % partitions === p) ?? '');
}

describe('the lanes of keys', () => {
  const entry = (n: number, laneId: string | undefined) => ({ n, laneId });

  it('let one entry of a key go at a time, also when one of those behind it is taken away', () => {
    const lanes = new KeyLanes<ReturnType<typeof entry>>();
    const [first, second, third] = [entry(1, 'a'), entry(2, 'a'), entry(3, 'a')];
    expect([lanes.admit(first), lanes.admit(second), lanes.admit(third)]).toEqual([true, false, false]);
    expect([lanes.admit(entry(4, 'b')), lanes.admit(entry(5, undefined)), lanes.admit(entry(6, undefined))]).toEqual([
      true,
      true,
      true,
    ]);
    expect(lanes.size).toBe(2);
    expect(lanes.take(({ n }) => n > 1)).toEqual([second, third]);
    // They are let go while the first of their key still runs: its lane stays.
    expect([lanes.next(second), lanes.next(third)]).toEqual([undefined, undefined]);
    expect(lanes.admit(second)).toBe(false);
    expect(lanes.next(first)).toBe(second);
    expect(lanes.admit(third)).toBe(false);
    expect(lanes.next(second)).toBe(third);
    expect(lanes.next(third)).toBeUndefined();
    expect(lanes.size).toBe(0);
    expect(lanes.admit(first)).toBe(true);
  });
});

describe('rendezvous', () => {
  const names = (count: number) => Array.from({ length: count }, (_, index) => `member-${index}`);
  const all = Array.from({ length: 256 }, (_, partition) => partition);

  it('gives everybody about the same, and moves only what it has to', () => {
    const before = all.map((partition) => rendezvousOwner(partition, names(4)));
    for (const name of names(4)) {
      const share = before.filter((owner) => owner === name).length;
      expect(share).toBeGreaterThan(32);
      expect(share).toBeLessThan(96);
    }
    const after = all.map((partition) => rendezvousOwner(partition, names(5).toReversed()));
    all.forEach((partition) => {
      if (after[partition] !== 'member-4') expect(after[partition]).toBe(before[partition]);
    });
    expect(rendezvousOwner(0, [])).toBeUndefined();
  });

  it('is the only order there is: streams without partitions take no onFailure', () => {
    expect(() => StreamConsumer(orders, { group: 'g', onFailure: 'skip' })).toThrow(
      '@StreamConsumer(orders).onFailure',
    );
  });
});
