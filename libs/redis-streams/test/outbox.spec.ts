import { Module } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { ManualClock, RedisUnavailableError } from '@redstart/redis-core';
import { eventually, FaultProxy, RedisServer } from '@redstart/redis-testing';
import {
  getOutboxRelayToken,
  getStreamToken,
  OutboxRelay,
  provideOutboxRelay,
  RedisStreams,
  RedisStreamsModule,
  type OutboxMessage,
  type OutboxStore,
  type RefusedMessage,
  type StreamProducer,
} from '../src/index.js';
import { orders } from './support/orders.js';
import { entries, ordersKey } from './support/read-redis.js';
import { closeApp, closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

type Row = OutboxMessage<typeof orders>;

/** A table with locks, in memory: what is fetched is out of reach until it is marked or released. */
class Table implements OutboxStore<typeof orders> {
  rows: Row[] = [];
  readonly locked = new Set<string>();
  readonly refused: RefusedMessage[] = [];
  fetches = 0;
  /** Throws what it is given at the next call of that method. */
  readonly faults = new Map<'fetchBatch' | 'markSent', Error>();

  async fetchBatch(limit: number): Promise<Row[]> {
    this.fetches += 1;
    await this.#fault('fetchBatch');
    const free = this.rows.filter(({ id }) => !this.locked.has(id)).slice(0, limit);
    for (const { id } of free) this.locked.add(id);
    return free;
  }

  async markSent(ids: readonly string[]): Promise<void> {
    await this.#fault('markSent');
    this.#remove(ids);
  }

  release(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.locked.delete(id);
    return Promise.resolve();
  }

  markRefused(refused: readonly RefusedMessage[]): Promise<void> {
    this.refused.push(...refused);
    this.#remove(refused.map(({ id }) => id));
    return Promise.resolve();
  }

  #remove(ids: readonly string[]): void {
    this.rows = this.rows.filter(({ id }) => !ids.includes(id));
  }

  async #fault(method: 'fetchBatch' | 'markSent'): Promise<void> {
    await Promise.resolve();
    const fault = this.faults.get(method);
    this.faults.delete(method);
    if (fault !== undefined) throw fault;
  }
}

const row = (id: number, key = `k-${id}`): Row => ({ id: `row-${id}`, type: 'order.created', payload: { id }, key });

describe('the outbox relay', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  afterEach(closeApps);
  beforeEach(async () => {
    await server.client().flushall();
  });

  const rarely = { pollInterval: '1h' } as const;

  async function start(
    table: Table,
    options: Parameters<typeof provideOutboxRelay>[1] extends infer P ? Omit<P, 'store'> : never = rarely,
    connection: AppOptions['connection'] = { url: server.url },
  ): Promise<{ app: TestingModule; relay: OutboxRelay }> {
    @Module({
      imports: [RedisStreamsModule.forFeature([orders])],
      providers: [
        { provide: Table, useValue: table },
        { provide: 'poll', useValue: rarely },
        ...provideOutboxRelay(orders, { store: Table, ...options }),
      ],
    })
    class OutboxModule {}
    const app = await startApp({ connection, streams: [orders], imports: [OutboxModule] });
    return { app, relay: app.get<OutboxRelay>(getOutboxRelayToken(orders), { strict: false }) };
  }

  const published = async () => (await entries(server.client(), ordersKey)).map(({ i }) => i);

  it('sends what it is told of, in its order, under the ids of the rows', async () => {
    const table = new Table();
    const { relay } = await start(table);
    table.rows.push({ ...row(0), headers: { tenant: 'a' } });
    table.rows.push(...Array.from({ length: 250 }, (_, n) => row(n + 1)));
    relay.kick();
    await eventually(() => table.rows.length === 0);
    expect(await published()).toEqual(Array.from({ length: 251 }, (_, n) => `row-${n}`));
    expect((await entries(server.client(), ordersKey))[0]).toEqual({
      ...{ t: 'order.created', d: '{"id":0}', i: 'row-0', k: 'k-0', h: '{"tenant":"a"}' },
    });
    expect(relay.counters).toEqual({ sent: 251, duplicates: 0, refused: 0 });
  });

  it('finds by itself what nobody told it of, with options from the container', async () => {
    const table = new Table();
    await start(table, { inject: ['poll'], useFactory: () => ({ pollInterval: 20 }) });
    table.rows.push(row(1));
    await eventually(() => table.rows.length === 0);
    expect(await published()).toEqual(['row-1']);
  });

  it('adds a message once that was not marked, and is sent again', async () => {
    const table = new Table();
    const { relay } = await start(table);
    table.rows.push(row(1), row(2));
    table.faults.set('markSent', new Error('the database is away'));
    await expect(relay.pass()).rejects.toThrow('the database is away');
    table.locked.clear();
    expect(await relay.pass()).toBe(0);
    expect(await published()).toEqual(['row-1', 'row-2']);
    expect(relay.counters).toEqual({ sent: 4, duplicates: 2, refused: 0 });
    expect(table.rows).toEqual([]);
  });

  it('shares an outbox with other processes: each message is sent by one of them', async () => {
    const table = new Table();
    const relays = [(await start(table)).relay, (await start(table)).relay];
    table.rows.push(...Array.from({ length: 500 }, (_, n) => row(n)));
    const added = await Promise.all([...relays, ...relays].map((relay) => relay.pass()));
    expect(added.reduce((sum, count) => sum + count, 0)).toBe(500);
    expect(await server.client().xlen(ordersKey)).toBe(500);
    expect(relays.map(({ counters }) => counters.duplicates)).toEqual([0, 0]);
  });

  it('stops behind a message that fails, releases the rest, and goes on from there', async () => {
    const table = new Table();
    const { app, relay } = await start(table);
    table.rows.push(row(1), row(2), row(3));
    // The second one meets a key of the wrong type.
    await server.client().lpush(`${ordersKey}:id:row-2`, 'x');
    await expect(relay.pass()).rejects.toThrow('WRONGTYPE');
    expect(await published()).toEqual(['row-1']);
    expect(table.locked.size).toBe(1); // That of row-1, which is gone.
    await server.client().del(`${ordersKey}:id:row-2`);
    expect(await relay.pass()).toBe(2);
    expect(await published()).toEqual(['row-1', 'row-2', 'row-3']);
    await closeApp(app);
  });

  it('puts aside what the stream never takes, and sends what is behind it', async () => {
    const table = new Table();
    const { relay } = await start(table);
    const refused: OutboxMessage[] = [
      { id: 'bad-schema', type: 'order.paid', payload: { id: 'x' } },
      { id: 'no-event', type: 'order.lost', payload: 1 },
      { id: '', type: 'order.created', payload: { id: 1 } },
    ];
    table.rows.push(...(refused as Row[]), row(1));
    expect(await relay.pass()).toBe(1);
    expect(table.refused.map(({ id }) => id)).toEqual(['bad-schema', 'no-event', '']);
    expect(await published()).toEqual(['row-1']);
    expect(relay.counters).toMatchObject({ refused: 3 });
  });

  it('takes null for what a row does not have, and says what is wrong with an id that is no text', async () => {
    const table = new Table();
    table.rows.push({ ...row(1), key: null, headers: null });
    const { relay } = await start(table);
    expect(await relay.pass()).toBe(1);
    expect(table.refused).toEqual([]);
    table.rows.push({ ...row(2), id: 2 as never });
    await expect(relay.pass()).rejects.toThrow('whose id is no string but number; make it one');
    expect(table.refused).toEqual([]);
    expect(await published()).toEqual(['row-1']);
  });

  it('does not spin over messages that the stream never takes, where the store can not put them aside', async () => {
    const table = new Table();
    Reflect.set(table, 'markRefused', undefined);
    const { relay } = await start(table);
    table.rows.push({ id: 'bad', type: 'order.paid', payload: { id: 'x' } });
    table.fetchBatch = (limit) => {
      table.fetches += 1;
      return table.fetches > 3 ? Promise.reject(new Error('It spins.')) : Promise.resolve(table.rows.slice(0, limit));
    };
    expect(await relay.pass()).toBe(0);
    expect(table.fetches).toBe(1);
  });

  it('sends messages of different keys at the same time if it may, and those of one key in their order', async () => {
    const table = new Table();
    const { app, relay } = await start(table, { ...rarely, order: 'key' });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    const publish = producer.publish.bind(producer);
    let running = 0;
    let most = 0;
    producer.publish = async (...message: Parameters<typeof publish>) => {
      most = Math.max(most, ++running);
      try {
        return await publish(...message);
      } finally {
        running -= 1;
      }
    };
    table.rows.push(...Array.from({ length: 60 }, (_, n) => row(n, `k-${n % 6}`)));
    expect(await relay.pass()).toBe(60);
    expect(most).toBe(6);
    const inOrder = (await published()).map((id) => Number(id?.slice(4)));
    for (let key = 0; key < 6; key += 1) {
      expect(inOrder.filter((n) => n % 6 === key)).toEqual(Array.from({ length: 10 }, (_, n) => n * 6 + key));
    }
  });

  it('stops behind its batch at shutdown, when that has been recorded', async () => {
    const table = new Table();
    const { app, relay } = await start(table, { ...rarely, batchSize: 10 });
    table.rows.push(...Array.from({ length: 30 }, (_, n) => row(n)));
    const fetchBatch = table.fetchBatch.bind(table);
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    let asked = false;
    table.fetchBatch = async (limit) => {
      asked = true;
      await opened;
      return fetchBatch(limit);
    };
    relay.kick();
    await eventually(() => asked);
    const closing = closeApp(app);
    open();
    await closing;
    expect(await published()).toHaveLength(10);
    expect(table.rows).toHaveLength(20);
  });

  it('refuses a store that is none, and wrong options', () => {
    expect(() => provideOutboxRelay(orders, { store: Table, batchSize: 0 })).toThrow(
      'provideOutboxRelay(orders).batchSize',
    );
    expect(() => provideOutboxRelay(orders, { store: Table, batch: 1 } as never)).toThrow('is not an option');
    expect(() => new OutboxRelay('orders', {} as never, {} as never)).toThrow(
      'provideOutboxRelay(orders).store: is no OutboxStore',
    );
  });
});

describe('the outbox relay, and failures', () => {
  /** A producer that is away until it is told otherwise; only the timing is looked at here. */
  function failing(onFailure?: () => unknown) {
    const table = new Table();
    let away = true;
    const publish = (): Promise<{ id: string; duplicate: boolean }> =>
      away
        ? Promise.reject(new RedisUnavailableError('away', 'not-executed'))
        : Promise.resolve({ id: '1-0', duplicate: false });
    const clock = new ManualClock();
    const failures: unknown[] = [];
    const options = { pollInterval: '1s', onFailure: onFailure ?? ((error: unknown) => failures.push(error)) } as const;
    const relay = new OutboxRelay('orders', { publish } as never, table, options, clock);
    return { table, clock, relay, failures, repair: () => (away = false) };
  }

  it('waits twice as long after each, up to 30 s, whoever kicks, and tells of the first', async () => {
    const { table, clock, relay, failures, repair } = failing();
    table.rows.push(row(1));
    relay.onApplicationBootstrap();
    for (const seconds of [1, 1, 2, 4, 8, 16, 30, 30]) {
      const before = table.fetches;
      relay.kick();
      if (before > 0) await clock.advanceAsync(seconds * 1_000 - 1);
      expect(table.fetches).toBe(before === 0 ? 0 : before);
      await clock.advanceAsync(before === 0 ? 0 : 1);
      await eventually(() => table.fetches === before + 1 && clock.pending === 1);
    }
    expect(failures).toHaveLength(1);
    repair();
    await clock.advanceAsync(30_000);
    await eventually(() => table.rows.length === 0 && clock.pending === 1);
    // It is quick again.
    table.rows.push(row(2));
    relay.kick();
    await eventually(() => table.rows.length === 0);
    await relay.onModuleDestroy();
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('of the listener');
      },
    ],
    ['rejects', () => Promise.reject(new Error('of the listener'))],
  ])('goes on when the one who is told of them %s', async (_, onFailure: () => unknown) => {
    const { table, clock, relay, repair } = failing(onFailure);
    table.rows.push(row(1));
    relay.onApplicationBootstrap();
    await clock.advanceAsync(1_000);
    await eventually(() => table.fetches === 1 && clock.pending === 1);
    repair();
    await clock.advanceAsync(1_000);
    await eventually(() => table.rows.length === 0);
    await relay.onModuleDestroy();
  });

  it('goes on after an outage of Redis, with each message once', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    const table = new Table();
    @Module({
      imports: [RedisStreamsModule.forFeature([orders])],
      providers: [
        { provide: Table, useValue: table },
        ...provideOutboxRelay(orders, { store: Table, pollInterval: 50 }),
      ],
    })
    class OutboxModule {}
    const app = await startApp({ connection: { url: proxy.url }, streams: [orders], imports: [OutboxModule] });
    const relay = app.get<OutboxRelay>(getOutboxRelayToken(orders), { strict: false });
    // Its looks are scripts, too: the reply that gets lost is to be that of a publication.
    await app.get(RedisStreams).delays.stop();
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    table.rows.push(...Array.from({ length: 20 }, (_, n) => row(n)));
    relay.kick();
    await eventually(() => table.rows.length === 0, { within: 30_000 });
    expect(lost.injected).toBe(1);
    expect((await entries(server.client(), ordersKey)).map(({ i }) => i)).toEqual(
      Array.from({ length: 20 }, (_, n) => `row-${n}`),
    );
  });
});
