import { hashSlot } from '@redstart/redis-core';
import {
  cluster,
  commandsDuring,
  describeOn,
  eventually,
  FaultProxy,
  RedisServer,
  serversOf,
  standalone,
} from '@redstart/redis-testing';
import { rendezvousOwner } from '../src/consumer/partitions/rendezvous.js';
import { planRead } from '../src/consumer/reader/read-plan.js';
import { defineStream, event, RedisStreams, StreamAdmin, type StreamDefinition } from '../src/index.js';
import { consumeAll } from '../src/transport/consume-all.js';
import { pending } from './support/read-redis.js';
import {
  blockedReaders,
  consumerOf,
  countedStream,
  keyOf,
  producerOf,
  readersOf,
  streamsTogether,
  twoTogether,
  type Counted,
} from './support/readers.js';
import { closeApp, closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

/** Longer than any test: what has to happen does not wait for the end of a read. */
const block = '60s';
/** Of what has to do with many connections. */
const patience = { within: 40_000 };

describeOn(standalone, cluster)('one reader for all streams of a group', (redis) => {
  const servers = () => serversOf(redis);
  const readers = () => readersOf(servers());
  const slotsOf = (keys: readonly string[]) =>
    redis.topology === 'cluster' ? new Set(keys.map((key) => hashSlot(key))).size : 1;

  const start = (
    streams: StreamDefinition[],
    consumers: NonNullable<AppOptions['consumers']>,
    options: AppOptions['options'] = {},
  ) => startApp({ connection: redis.connection, streams, consumers, options: { block, drainTimeout: 0, ...options } });

  /** Waits until one read covers some streams: what is prepared first is read alone at first, until the next one is. */
  async function readTogether(
    streams: readonly StreamDefinition[],
    read: ReadonlySet<StreamDefinition>,
    publish: (stream: StreamDefinition) => Promise<unknown>,
  ): Promise<void> {
    for (const stream of streams) await publish(stream);
    await eventually(async () => {
      expect(read.size).toBe(streams.length);
      for (const { name } of streams) expect(await pending(redis.client(), 'billing', keyOf(name))).toEqual([]);
    });
    // A read that began behind these covers all of them.
    await blockedReaders(servers(), 1);
  }

  /** Two streams that are read together; the handlers of the first one end when the test says so. */
  async function startTwo(firstOptions: Parameters<typeof consumerOf>[2] = { concurrency: 1, prefetch: 0 }) {
    const [first, second] = twoTogether(redis);
    const running: { n: number; finish: () => void }[] = [];
    const seen: number[] = [];
    const read = new Set<StreamDefinition>();
    const app = await start(
      [first, second],
      [
        consumerOf(
          first,
          ({ n }) => (n === 0 ? read.add(first) : new Promise<void>((finish) => running.push({ n, finish }))),
          firstOptions,
        ),
        consumerOf(second, ({ n }) => (n === 0 ? read.add(second) : seen.push(n))),
      ],
    );
    const publish = (stream: StreamDefinition, n: number) => producerOf(app, stream).publish('counted', { n });
    await readTogether([first, second], read, (stream) => publish(stream, 0));
    const finishAll = () => {
      for (const { finish } of running.splice(0)) finish();
    };
    return { app, first, second, running, seen, publish, finishAll };
  }

  it.each([1, 10, 100])('has one connection for %i streams, on a Cluster one for each slot of them', async (count) => {
    const streams = Array.from({ length: count }, (_, at) => countedStream(`many-${at}`));
    const seen = new Set<string>();
    const app = await start(
      streams,
      streams.map((stream) => consumerOf(stream, ({ n }) => seen.add(`${stream.name} ${n}`))),
    );
    for (const n of [1, 2]) {
      await Promise.all(streams.map((stream) => producerOf(app, stream).publish('counted', { n })));
      await eventually(() => seen.size === n * count, patience);
    }
    const slots = slotsOf(streams.map(({ name }) => keyOf(name)));
    await blockedReaders(servers(), slots);
    expect(await readers()).toHaveLength(slots);
  });

  it('has one connection for all partitions that it owns, on a Cluster one for each slot of them', async () => {
    const partitions = 16;
    const stream = defineStream('moves', { events: { counted: event<Counted>() }, partitions });
    const seen = new Set<number>();
    const app = await start([stream], [consumerOf(stream, ({ n }) => seen.add(n))]);
    for (let n = 0; n < 100; n += 1) await producerOf(app, stream).publish('counted', { n }, { key: `key-${n}` });
    await eventually(() => seen.size === 100, patience);
    const slots = slotsOf(Array.from({ length: partitions }, (_, partition) => keyOf(`moves/${partition}`)));
    await blockedReaders(servers(), slots);
    expect(await readers()).toHaveLength(slots);
  });

  it('reads each group over a connection of its own', async () => {
    const stream = countedStream('shared');
    const seen: string[] = [];
    const groups = ['billing', 'shipping'].map((group) =>
      consumerOf(stream, ({ n }) => seen.push(`${group} ${n}`), { group }),
    );
    const app = await start([stream], groups);
    await producerOf(app, stream).publish('counted', { n: 1 });
    await eventually(() => {
      expect(seen.toSorted()).toEqual(['billing 1', 'shipping 1']);
    });
    await blockedReaders(servers(), 2);
  });

  it('has a name and a connection of its own for a second consumer of a stream and group', async () => {
    const stream = countedStream('shared');
    const seen: number[] = [];
    const handle = ({ n }: Counted) => seen.push(n);
    const app = await start([stream], [consumerOf(stream, handle)]);
    const streams = app.get(RedisStreams);
    const [first] = streams.consumers;
    const { retry } = streams.options;
    if (first === undefined) throw new Error('There is one.');
    const second = consumeAll(streams, first.metadata, {
      ...{ name: 'second', patterns: ['*'], retry, timeoutMs: undefined },
      invoke: (payload) => Promise.resolve(handle(payload as Counted)),
    });
    await second.start();
    try {
      expect(second.name).not.toBe(first.name);
      await blockedReaders(servers(), 2);
      for (let n = 0; n < 20; n += 1) await producerOf(app, stream).publish('counted', { n });
      await eventually(async () => {
        expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n));
        expect(await pending(redis.client(), 'billing', keyOf(stream.name))).toEqual([]);
      });
    } finally {
      await second.stop();
      await second.drain();
    }
    await blockedReaders(servers(), 1);
  });

  it('does not let a consumer that has a slot again wait for the end of a read of others', async () => {
    const { app, first, second, running, seen, publish, finishAll } = await startTwo();
    for (const n of [1, 2, 3]) await publish(first, n);
    for (const n of [1, 2, 3]) {
      await eventually(() => {
        expect(running.map((run) => run.n)).toEqual([n]);
      });
      // It is full, and waits for nothing; the other one is read alone.
      await eventually(async () => {
        const silent = [...app.get(RedisStreams).consumers].map(({ silentMs }) => silentMs > 0);
        expect(silent).toEqual([false, true]);
        expect(await pending(redis.client(), 'billing', keyOf(first.name))).toHaveLength(1);
      });
      await publish(second, n);
      await eventually(() => seen.length === n);
      // And again without it.
      await blockedReaders(servers(), 1);
      finishAll();
    }
    await eventually(async () => {
      expect(await pending(redis.client(), 'billing', keyOf(first.name))).toEqual([]);
    });
  });

  it('does not let a consumer with few slots keep the others down', async () => {
    const [small, large] = twoTogether(redis);
    const client = redis.client();
    const count = 3_000;
    for (let n = 0; n < count; n += 500) {
      const some = Array.from({ length: 500 }, (_, at) => JSON.stringify({ n: n + at }));
      await Promise.all(some.map((d) => client.xadd(keyOf(large.name), '*', 't', 'counted', 'd', d)));
    }
    const seen = new Set<number>();
    const counts = await commandsDuring(servers(), async () => {
      await start(
        [small, large],
        [
          consumerOf(small, () => undefined, { concurrency: 1, prefetch: 0 }),
          consumerOf(large, ({ n }) => seen.add(n), { concurrency: 100 }),
        ],
      );
      await eventually(() => seen.size === count, patience);
    });
    // One at a time would be 3,000 reads.
    expect(counts['xreadgroup']).toBeLessThan(300);
  });

  it('goes on with the others while a group is paused in one stream', async () => {
    const { app, first, second, running, seen, publish, finishAll } = await startTwo({});
    const silences = () => [...app.get(RedisStreams).consumers].map(({ silentMs }) => silentMs);
    const pausedAt = performance.now();
    await app.get(StreamAdmin).pause(first, 'billing');
    // It has been heard of, and the read that covered the stream has ended.
    await eventually(() => {
      const [ofFirst = NaN, ofSecond = NaN] = silences();
      expect(ofFirst).toBe(0);
      expect(performance.now() - ofSecond).toBeGreaterThan(pausedAt);
    });
    for (const n of [1, 2, 3]) {
      await publish(first, n);
      await publish(second, n);
      await eventually(() => seen.length === n);
    }
    expect(running).toEqual([]);
    expect(await pending(redis.client(), 'billing', keyOf(first.name))).toEqual([]);
    await app.get(StreamAdmin).resume(first, 'billing');
    await eventually(() => {
      expect(running.map(({ n }) => n)).toEqual([1, 2, 3]);
    });
    finishAll();
  });

  it.each(['DEL', 'XGROUP DESTROY'])('reads on over the same connection when %s takes one stream', async (how) => {
    const { first, second, running, seen, publish, finishAll } = await startTwo({});
    const before = await readers();
    const client = redis.client();
    if (how === 'DEL') await client.del(keyOf(first.name));
    else await client.xgroup('DESTROY', keyOf(first.name), 'billing');
    await publish(first, 1);
    await publish(second, 1);
    await eventually(() => {
      expect(running.map(({ n }) => n)).toEqual([1]);
      expect(seen).toEqual([1]);
    });
    finishAll();
    await blockedReaders(servers(), 1);
    expect(await readers()).toEqual(before);
  });

  it('reads the others over the same connection while the key of one stream holds something else', async () => {
    const { first, second, seen, publish } = await startTwo({});
    const before = await readers();
    await redis.client().set(keyOf(first.name), 'foreign');
    for (const n of [1, 2, 3]) {
      await publish(second, n);
      await eventually(() => seen.length === n);
    }
    await blockedReaders(servers(), 1);
    expect(await readers()).toEqual(before);
  });

  it('begins each stream where its consumer says', async () => {
    const [old, fresh] = twoTogether(redis);
    const client = redis.client();
    for (const { name } of [old, fresh]) await client.xadd(keyOf(name), '*', 't', 'counted', 'd', '{"n":1}');
    const seen: string[] = [];
    const app = await start(
      [old, fresh],
      [
        consumerOf(old, ({ n }) => seen.push(`old ${n}`)),
        consumerOf(fresh, ({ n }) => seen.push(`fresh ${n}`), { from: 'new' }),
      ],
    );
    for (const stream of [old, fresh]) await producerOf(app, stream).publish('counted', { n: 2 });
    await eventually(() => {
      expect(seen.toSorted()).toEqual(['fresh 2', 'old 1', 'old 2']);
    });
  });

  it('reads on for the others when one consumer stops, and nothing of that one', async () => {
    const { app, first, second, running, seen, publish } = await startTwo({});
    const before = await readers();
    const [consumer] = app.get(RedisStreams).consumers;
    expect(consumer?.metadata.stream).toBe(first);
    await consumer?.stop();
    // From here on no read of it is under way: what comes is delivered to nobody.
    await publish(first, 1);
    for (const n of [1, 2]) {
      await publish(second, n);
      await eventually(() => seen.length === n);
    }
    await consumer?.drain();
    expect(running).toEqual([]);
    expect(await pending(redis.client(), 'billing', keyOf(first.name))).toEqual([]);
    await blockedReaders(servers(), 1);
    expect(await readers()).toEqual(before);
  });

  it('gives a partition away only when no read of it is under way', async () => {
    const partitions = 16;
    const moves = defineStream('moves', { events: { counted: event<Counted>() }, partitions });
    const other = countedStream('other');
    const never = () => new Promise<void>(() => undefined);
    const startMember = () =>
      // A read may go on for ten seconds, and what comes to a partition that it covers would be taken from its new owner.
      start([moves, other], [consumerOf(moves, never, { concurrency: 100 }), consumerOf(other, never)], {
        block: '10s',
        minIdle: '60s',
      });
    const client = redis.client();
    const numbers = Array.from({ length: partitions }, (_, partition) => partition);
    const settled = async (members: number) => {
      const owners = await Promise.all(numbers.map((p) => client.get(`${keyOf(`moves/${p}`)}:owner:billing`)));
      const names = await client.zrange(`${keyOf('moves')}:members:billing`, '0', '-1');
      expect(names).toHaveLength(members);
      expect(owners).toEqual(numbers.map((p) => rendezvousOwner(p, names)));
      return owners;
    };
    const first = await startMember();
    await eventually(() => settled(1));
    await blockedReaders(servers(), slotsOf([...numbers.map((p) => keyOf(`moves/${p}`)), keyOf('other')]));
    let second = await startMember();
    // At once; or, where an answer got lost, when a lease that could not be given up has ended.
    const shared = () => eventually(() => settled(2), { within: 90_000 });
    let owners = await shared();
    // Names are random, and so is who gets what: once in 30,000 times one of two gets all.
    for (let tries = 0; tries < 20 && new Set(owners).size < 2; tries += 1) {
      await closeApp(second);
      second = await startMember();
      owners = await shared();
    }
    expect(new Set(owners).size).toBe(2);
    const producer = producerOf(first, moves);
    for (let n = 0; n < 100; n += 1) await producer.publish('counted', { n }, { key: `key-${n}` });
    await eventually(async () => {
      const rows = await Promise.all(numbers.map((p) => pending(client, 'billing', keyOf(`moves/${p}`))));
      expect(rows.flat()).toHaveLength(100);
      rows.forEach((ofPartition, p) => {
        for (const { consumer } of ofPartition) expect(`${consumer}:moves`).toBe(owners[p]);
      });
    });
  }, 180_000);

  it('costs no more for many streams than for one when idle', async () => {
    const streams = streamsTogether(40, redis);
    await start(
      streams,
      streams.map((stream) => consumerOf(stream, () => undefined)),
      { block: '2s', claimInterval: '5s', minIdle: '30s' },
    );
    await blockedReaders(servers(), 1);
    // With the time that the counting itself takes: what comes within it is counted, too.
    const began = performance.now();
    const counts = await commandsDuring(servers(), () => new Promise((resolve) => setTimeout(resolve, 4_000)));
    const seconds = (performance.now() - began) / 1_000;
    expect(counts['xreadgroup']).toBeLessThanOrEqual(Math.ceil(seconds / 2) + 1);
    const scripts = (counts['evalsha'] ?? 0) + (counts['mget'] ?? 0);
    expect(scripts).toBeGreaterThan(0);
    // What comes regularly may come at both ends of the time that was looked at. Each stream for itself would be 28 a second.
    expect(scripts).toBeLessThanOrEqual(4 * (seconds + 1));
  });
});

describe('a consumer that stops beside another one', () => {
  it('waits for what is being read: what was delivered is handled, not left behind', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    const [first, second] = [countedStream('first'), countedStream('second')];
    const seen: number[] = [];
    const others: number[] = [];
    const app = await startApp({
      connection: { url: proxy.url },
      streams: [first, second],
      consumers: [consumerOf(first, ({ n }) => seen.push(n)), consumerOf(second, ({ n }) => others.push(n))],
      options: { block },
    });
    const [consumer] = app.get(RedisStreams).consumers;
    const admin = server.client();
    // Both are read by now, so the next read covers both.
    for (const { name } of [first, second]) await admin.xadd(keyOf(name), '*', 't', 'counted', 'd', '{"n":0}');
    await eventually(() => seen.length === 1 && others.length === 1);
    await blockedReaders([server], 1);
    // The reply that carries the entry takes its time; the consumer stops while it is on its way.
    const slow = proxy.latency(300);
    await admin.xadd(keyOf('first'), '*', 't', 'counted', 'd', '{"n":1}');
    await consumer?.stop();
    await consumer?.drain();
    expect(slow.injected).toBeGreaterThan(0);
    expect(seen).toEqual([0, 1]);
    expect(await pending(admin, 'billing', keyOf('first'))).toEqual([]);
  });
});

describe('a reader that may not ask for the end of a read', () => {
  it('does not let anybody wait for it all the same', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    await server.client().acl('SETUSER', 'default', '-client|id', '-client|unblock');
    const [first, second] = [countedStream('first'), countedStream('second')];
    const running: (() => void)[] = [];
    const app = await startApp({
      connection: { url: server.url },
      streams: [first, second],
      consumers: [
        consumerOf(first, () => new Promise<void>((finish) => running.push(finish)), { concurrency: 1, prefetch: 0 }),
        consumerOf(second, () => undefined),
      ],
      options: { block: '10s', drainTimeout: 0 },
    });
    for (const n of [1, 2, 3, 4, 5]) await producerOf(app, first).publish('counted', { n });
    const began = performance.now();
    for (let n = 0; n < 5; n += 1) {
      await eventually(() => running.length === 1, { within: 20_000 });
      running.pop()?.();
    }
    // Four ends of a read would be forty seconds.
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});

describe('the plan of a read', () => {
  const part = (count: number, cutShort = false) => ({ demand: { cutShort, count: () => count } });

  it('covers those who want something, with the COUNT that the tightest asks for', () => {
    const [tight, wide, full] = [part(3), part(90), part(0)];
    expect(planRead([tight, wide], 1, false)).toEqual({
      parts: new Set([tight, wide]),
      ...{ count: 3, blocking: true, leavesOut: false },
    });
    expect(planRead([tight, wide, full], 1, false)).toMatchObject({ parts: new Set([tight, wide]), leavesOut: true });
    expect(planRead([full], 1, false)).toBeUndefined();
    expect(planRead([], 1, false)).toBeUndefined();
  });

  it('catches up by turns with those whom the last read has cut short', () => {
    const [tight, hungry, hungrier, idle] = [part(3, true), part(60, true), part(90, true), part(90)];
    const parts = [tight, hungry, hungrier, idle];
    expect(planRead(parts, 1, false)).toMatchObject({
      parts: new Set([hungry, hungrier]),
      ...{ count: 60, blocking: false },
    });
    expect(planRead(parts, 1, true)).toMatchObject({ parts: new Set(parts), count: 3, blocking: true });
    // Not for a little more.
    expect(planRead([part(50, true), part(60, true)], 1, false)).toMatchObject({ count: 50, blocking: true });
  });
});
