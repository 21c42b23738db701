import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { getRedisConnectionToken, RedisUnavailableError, type RedisConnection } from '@redstart/redis-core';
import { StreamAdmin, UnrecoverableError } from '@redstart/redis-streams';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { WriteBehindFullError } from '../../src/write-behind/index.js';
import { gate, hold } from '../app.js';
import { startBehind, Store, type BehindApp } from './behind-app.js';

const at = (id: string) => `shop:cache:flights:{${id}}`;
const within = { within: 30_000 };
jest.setTimeout(90_000);
const soon = { attempts: 1_000, backoff: 20 } as const;

/** Redis does not answer some operations of an application. */
function refuse({ context }: BehindApp, ...operations: string[]) {
  const connection = context.get<RedisConnection>(getRedisConnectionToken());
  const send = connection.call.bind(connection);
  let count = 0;
  const spy = jest.spyOn(connection, 'call').mockImplementation((call, ...rest) => {
    if (!operations.includes(call.operation)) return send(call, ...rest);
    count += 1;
    return Promise.reject(new RedisUnavailableError('no answer', 'unknown'));
  });
  return {
    get count() {
      return count;
    },
    stop: () => {
      spy.mockRestore();
    },
  };
}

describeOn(standalone, cluster)('a cache that is written behind', (redis) => {
  let store: Store;
  let app: BehindApp;
  let warn: jest.SpiedFunction<Logger['warn']>;
  const warnings = () => warn.mock.calls.map(([message]) => String(message));
  beforeEach(() => {
    store = new Store();
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });
  afterEach(async () => {
    await app[Symbol.asyncDispose]();
    // The stream, too: each test begins with nothing pending.
    for (const node of redis.topology === 'cluster' ? redis.cluster.servers : [redis.server]) {
      await node.ask((client) => client.flushall()).catch(() => undefined); // a replica can't
    }
    jest.restoreAllMocks();
  });

  it('is read at once, everywhere, and written to the store afterwards', async () => {
    const open = gate();
    store.rows.set('a', 0);
    app = await startBehind(redis.connection, store);
    await using other = await startBehind(redis.connection, store, { streams: { consumers: false } });
    expect([await app.flights.getOrSet('a'), await other.flights.get('a')]).toEqual([0, 0]);
    store.writeMany.mockImplementation(async (values) => {
      await open.opened;
      store.take(values);
    });
    await app.behind.write('a', 1);
    expect([await app.flights.get('a'), await other.flights.get('a')]).toEqual([1, 1]);
    expect(await other.flights.getOrSetMany(['a', 'b'])).toEqual([1, -1]);
    expect(await app.flights.getMany(['a', 'c'])).toEqual([1, undefined]);
    expect(store.rows.get('a')).toBe(0);
    open.open();
    await eventually(() => store.rows.get('a') === 1, within);
    expect(await app.behind.flush()).toBe(true);
    expect(await other.flights.get('a')).toBe(1);
    expect(store.load).toHaveBeenCalledTimes(2); // a at first, and b
    // What remains is when it was written, for an hour.
    expect(await redis.client().get(`${at('a')}:pending`)).toMatch(/^\d+-\d+$/);
    expect(await redis.client().pttl(`${at('a')}:pending`)).toBeLessThanOrEqual(3_600_000);
  });

  it('reads what is pending also when the cached value has been evicted, and never what the store has still', async () => {
    store.rows.set('a', 0);
    const open = gate();
    store.writeMany.mockImplementation(async (values) => {
      await open.opened;
      store.take(values);
    });
    app = await startBehind(redis.connection, store);
    await app.behind.write('a', 1);
    for (const read of [() => app.flights.getOrSet('a'), () => app.flights.get('a')]) {
      expect(await read()).toBe(1);
      await redis.client().del(at('a'));
      expect(await read()).toBe(1);
    }
    expect(store.load).not.toHaveBeenCalled();
    open.open();
    expect(await app.behind.flush()).toBe(true);
  });

  it('keeps what is pending when cached values are deleted by their prefix', async () => {
    store.rows.set('a', 0);
    app = await startBehind(redis.connection, store, { streams: { consumers: false } });
    await app.behind.write('a', 1);
    await app.cache.namespace('flights').deleteByPrefix('a');
    expect(await app.flights.getOrSet('a')).toBe(1);
  });

  it('keeps out what a load has read from the store before the write', async () => {
    store.rows.set('a', 0);
    app = await startBehind(redis.connection, store, { streams: { consumers: false } });
    await using other = await startBehind(redis.connection, store, { streams: { consumers: false } });
    for (const [reader, value] of [
      [app, 1],
      [other, 2],
    ] as const) {
      await redis.client().del(`${at('a')}:pending`, at('a'));
      const read = gate();
      store.load.mockImplementationOnce(() => read.opened.then(() => 0));
      const load = reader.flights.getOrSet('a');
      await eventually(() => store.load.mock.calls.length === value);
      await app.behind.write('a', value);
      read.open();
      expect(await load).toBe(0); // it had asked before
      expect([await app.flights.getOrSet('a'), await other.flights.getOrSet('a')]).toEqual([value, value]);
    }
  });

  it('shows the newest write, whichever reaches the cache last, also when the store has it already', async () => {
    app = await startBehind(redis.connection, store, { streams: { consumers: false } });
    await using other = await startBehind(redis.connection, store);
    for (const flushed of [false, true]) {
      using late = hold(app, 'requests', 'cache.put-pending');
      const older = app.behind.write('a', 1);
      await eventually(() => late.count === 1);
      await other.behind.write('a', 2);
      if (flushed) expect(await other.behind.flush()).toBe(true);
      late.release();
      await older;
      expect([await app.flights.getOrSet('a'), await other.flights.getOrSet('a')]).toEqual([2, 2]);
      expect(await other.behind.flush()).toBe(true);
      expect(store.rows.get('a')).toBe(2);
    }
  });

  it('shows a write also when the process ends before it has said so to itself', async () => {
    app = await startBehind(redis.connection, store, { streams: { consumers: false } });
    await using other = await startBehind(redis.connection, store, { streams: { consumers: false } });
    expect(await other.flights.getOrSet('a')).toBe(-1);
    const refused = refuse(app, 'cache.delete');
    await app.behind.write('a', 1);
    expect(refused.count).toBe(1);
    refused.stop();
    expect(await other.flights.getOrSet('a')).toBe(1);
  });

  it('does not keep a loaded value while nobody can tell what is pending, and ignores foreign bytes', async () => {
    app = await startBehind(redis.connection, store, { streams: { consumers: false } });
    const refused = refuse(app, 'cache.get-pending');
    expect(await app.flights.getOrSet('a')).toBe(-1);
    expect(refused.count).toBe(1);
    refused.stop();
    expect(await redis.client().exists(at('a'))).toBe(0);
    await redis.client().set(`${at('b')}:pending`, 'foreign');
    expect(await app.flights.getOrSet('b')).toBe(-1);
    await app.behind.write('b', 2);
    expect(await app.flights.getOrSet('b')).toBe(2);
  });

  it('writes the newest value of each key, in batches, in an order in which no version falls', async () => {
    const first = gate();
    store.writeMany.mockImplementationOnce(async (values) => {
      await first.opened;
      store.take(values);
    });
    // Nobody takes over what is being written: this store takes an older version after a newer one.
    const streams = { minIdle: '1m' } as const;
    app = await startBehind(redis.connection, store, { size: 50, streams });
    await using other = await startBehind(redis.connection, store, { streams });
    await app.behind.write('k0', 0);
    await eventually(() => store.writeMany.mock.calls.length === 1, within);
    for (let round = 1; round <= 20; round++) {
      const writer = round % 2 === 0 ? app : other;
      await Promise.all(Array.from({ length: 10 }, (_, key) => writer.behind.write(`k${key}`, round)));
    }
    first.open();
    expect(await app.behind.flush()).toBe(true);
    expect([...store.rows.values()]).toEqual(Array(10).fill(20));
    // 201 entries: one was written by itself, and then of each key little more than the last one.
    expect(store.taken.length).toBeLessThan(60);
    const newest = new Map<string, bigint>();
    for (const { id, version } of store.taken) {
      expect(version).toBeGreaterThanOrEqual(newest.get(id) ?? 0n);
      newest.set(id, version);
    }
    expect(Math.max(...store.writeMany.mock.calls.map(([values]) => values.length))).toBeGreaterThan(1);
    expect(await other.flights.getMany(['k0', 'k9'])).toEqual([20, 20]);
  });

  it('writes the newest value of a key also for entries that were read before it, and none of them after it', async () => {
    const first = gate();
    store.writeMany.mockImplementationOnce(async (values) => {
      await first.opened;
      store.take(values);
    });
    app = await startBehind(redis.connection, store, { size: 1 });
    for (let value = 0; value <= 30; value++) {
      await app.behind.write('a', value);
      if (value === 0) await eventually(() => store.writeMany.mock.calls.length === 1, within);
    }
    first.open();
    expect(await app.behind.flush()).toBe(true);
    expect(store.taken.map(({ value }) => value)).toEqual([0, 30]);
  });

  it('tries again what has failed, for as long as it takes, and says so', async () => {
    let down = true;
    store.writeMany.mockImplementation(async (values) => {
      await Promise.resolve();
      if (down) throw new Error('down');
      store.take(values);
    });
    app = await startBehind(redis.connection, store, { retry: soon });
    await Promise.all(Array.from({ length: 20 }, (_, key) => app.behind.write(`k${key}`, key)));
    await eventually(() => store.writeMany.mock.calls.length > 30, within);
    await app.behind.write('k7', 77); // newer than what is waiting for its next attempt
    expect(await app.flights.get('k7')).toBe(77);
    expect((await app.behind.pending()).pending).toBeGreaterThan(0);
    down = false;
    expect(await app.behind.flush({ timeout: '15s' })).toBe(true);
    expect(store.rows.size).toBe(20);
    expect(store.rows.get('k7')).toBe(77);
    expect(warnings()).toContainEqual(
      expect.stringMatching(/writes of the cache "flights" have failed, and are tried again/),
    );
  });

  it('lets one value that the store refuses keep no other back, and reads it no more when it is given up', async () => {
    store.rows.set('bad', 0);
    store.writeMany.mockImplementation(async (values) => {
      await Promise.resolve();
      if (values.some(({ id }) => id === 'bad')) throw new UnrecoverableError('no such row');
      store.take(values);
    });
    app = await startBehind(redis.connection, store, { retry: soon });
    await Promise.all(['a', 'b', 'bad', 'c', 'd'].map((id) => app.behind.write(id, 1)));
    await eventually(async () => {
      expect(await app.behind.pending()).toMatchObject({ pending: 0, deadLetters: 1 });
    }, within);
    expect([...store.rows].toSorted()).toEqual([
      ['a', 1],
      ['b', 1],
      ['bad', 0],
      ['c', 1],
      ['d', 1],
    ]);
    await eventually(async () => (await app.flights.getOrSet('bad')) === 0, within);
    await eventually(() => {
      expect(warnings()).toContainEqual(expect.stringMatching(/is given up \(unrecoverable/));
    }, within);
    const letters = app.context
      .get(StreamAdmin, { strict: false })
      .deadLetters({ name: 'write-behind.flights', partitions: 1 }, 'store');
    const [letter] = await letters.list();
    expect(letter?.message?.payload).toEqual({ id: 'bad', value: 1 });
  });

  it('refuses more than may be pending, loudly, and takes them again when the store is back', async () => {
    let down = true;
    store.writeMany.mockImplementation(async (values) => {
      await Promise.resolve();
      if (down) throw new Error('down');
      store.take(values);
    });
    app = await startBehind(redis.connection, store, { maxPending: 10, retry: soon });
    const writes = await Promise.allSettled(Array.from({ length: 30 }, (_, key) => app.behind.write(`k${key}`, key)));
    const refused = writes.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(20);
    for (const { reason } of refused as PromiseRejectedResult[]) {
      expect(reason).toBeInstanceOf(WriteBehindFullError);
      expect(reason).toMatchObject({ code: 'WRITE_BEHIND_FULL', maxPending: 10, response: { status: 503 } });
    }
    await expect(app.behind.write('k', 1)).rejects.toThrow(/of the cache "flights" are pending, of 10 at most/);
    await eventually(async () => {
      await app.behind.write('k', 1).catch(() => undefined);
      expect(warnings()).toContainEqual(expect.stringMatching(/store of the cache "flights" is behind: 10 writes/));
    }, within);
    down = false;
    await eventually(() => app.behind.write('late', 1).then(() => true), within);
    expect(await app.behind.flush({ timeout: '15s' })).toBe(true);
    expect(store.rows.get('late')).toBe(1);
    expect(store.rows.size).toBeGreaterThanOrEqual(11);
  });

  it('writes what is pending when the application ends', async () => {
    const ending = gate();
    store.writeMany.mockImplementation(async (values) => {
      await ending.opened;
      store.take(values);
    });
    app = await startBehind(redis.connection, store, { maxWait: '1s' });
    await Promise.all(Array.from({ length: 10 }, (_, key) => app.behind.write(`k${key}`, key)));
    const closed = app.context.close();
    expect(store.rows.size).toBe(0);
    ending.open();
    await closed;
    expect(store.rows.size).toBe(10);
  });

  it('leaves in the stream what there was no time for, and the next process writes it', async () => {
    const hung = gate();
    store.writeMany.mockImplementationOnce(() => hung.opened);
    app = await startBehind(redis.connection, store, {
      drainTimeout: '200ms',
      streams: { drainTimeout: 100 },
    });
    await app.behind.write('a', 1);
    await eventually(() => store.writeMany.mock.calls.length === 1, within);
    await app.behind.write('b', 2);
    await app.context.close();
    hung.open();
    expect(store.rows.size).toBe(0);
    await using next = await startBehind(redis.connection, store);
    expect(await next.flights.getMany(['a', 'b'])).toEqual([1, 2]);
    await eventually(() => store.rows.size === 2, within);
    expect([store.rows.get('a'), store.rows.get('b')]).toEqual([1, 2]);
  });

  it('keeps nothing outdated once the store has a write that could not be shown to readers', async () => {
    store.rows.set('a', 0);
    app = await startBehind(redis.connection, store, { streams: { consumers: false } });
    await using other = await startBehind(redis.connection, store);
    expect(await other.flights.getOrSet('a')).toBe(0);
    // Nor can it make good what it has not deleted.
    const refused = refuse(app, 'cache.put-pending', 'cache.delete');
    await app.behind.write('a', 1); // it is in the stream
    expect(refused.count).toBeGreaterThanOrEqual(2);
    expect(await other.behind.flush()).toBe(true);
    expect(store.rows.get('a')).toBe(1);
    expect(await other.flights.getOrSet('a')).toBe(1);
    expect(warnings()).toContainEqual(expect.stringMatching(/is in the stream, and could not be shown to readers yet/));
    refused.stop();
  });
});
