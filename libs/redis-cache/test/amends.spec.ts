import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import {
  getRedisConnectionToken,
  ManualClock,
  RedisUnavailableError,
  type RedisConnection,
} from '@redstart/redis-core';
import { describeOn, eventually, FaultProxy, standalone, type FaultHandle } from '@redstart/redis-testing';
import { EventEmitter } from 'node:events';
import type { CacheService } from '../src/index.js';
import { Amends } from '../src/store/amends.js';
import { WaitBudget } from '../src/store/budget.js';
import { gate, hold, startCache } from './app.js';

describeOn(standalone)('invalidations that failed during an outage', (redis) => {
  let proxy: FaultProxy;
  beforeEach(async () => {
    proxy = await FaultProxy.start(redis.server);
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await proxy.stop();
  });

  const faults: [string, (proxy: FaultProxy) => FaultHandle][] = [
    ['silent', (reached) => reached.blackhole()],
    ['down', (reached) => reached.refuse()],
  ];
  const invalidations: [string, (cache: CacheService) => Promise<unknown>][] = [
    ['delete', (cache) => cache.delete('a')],
    ['invalidateTags', (cache) => cache.invalidateTags('x')],
    ['clear', (cache) => cache.clear()],
    ['markStale', (cache) => cache.markStale('a')],
    ['markTagsStale', (cache) => cache.markTagsStale('x')],
  ];

  describe.each(faults)('with Redis %s', (_how, inject) => {
    it.each(invalidations)(
      'makes a %s good when Redis is back, and serves nothing of it before',
      async (_name, invalidate) => {
        await using app = await startCache({ url: proxy.url }, { budget: 300 });
        await using elsewhere = await startCache(redis.connection);
        const { cache } = app;
        await elsewhere.cache.set('a', 'old', { tags: ['x'] });
        const fault = inject(proxy);
        await expect(invalidate(cache)).rejects.toThrow(RedisUnavailableError);
        expect(await elsewhere.cache.get('a')).toBe('old'); // nothing has reached Redis
        expect(await cache.get('a')).toBeUndefined();
        expect(await cache.get('a', { tags: ['x'] })).toBeUndefined();
        fault.stop();
        await eventually(async () => (await elsewhere.cache.get('a')) === undefined, { within: 20_000 });
        await eventually(() => cache.stats().madeGood > 0, { within: 20_000 });
        expect(fault.injected).toBeGreaterThan(0);
        await eventually(
          async () => {
            await cache.set('a', 'new', { tags: ['x'] });
            expect(await cache.get('a')).toBe('new');
          },
          { within: 20_000 },
        );
      },
      60_000,
    );
  });

  it.each([
    ['delete', 'cache.delete', (cache: CacheService) => cache.delete('a')],
    ['invalidateTags', 'cache.invalidate', (cache: CacheService) => cache.invalidateTags('x')],
    ['markTagsStale', 'cache.mark-tags', (cache: CacheService) => cache.markTagsStale('x')],
    ['clear', 'cache.invalidate', (cache: CacheService) => cache.clear()],
  ])(
    'are served by nobody here while Redis answers, and has not been told yet: %s',
    async (_name, operation, invalidate) => {
      await using app = await startCache({ url: proxy.url }, { budget: 300 });
      await using elsewhere = await startCache(redis.connection);
      const { cache } = app;
      await elsewhere.cache.set('a', 'old', { tags: ['x'] });
      const fault = proxy.refuse();
      await expect(invalidate(cache)).rejects.toThrow(RedisUnavailableError);
      {
        using told = hold(app, 'requests', operation);
        fault.stop();
        await eventually(
          () =>
            cache
              .namespace('other')
              .touch('b')
              .then(() => true),
          { within: 20_000 },
        );
        expect(await redis.client().exists('shop:cache:{a}')).toBe(1);
        expect(await cache.get('a')).toBeUndefined();
        expect(await cache.getOrSet('a', () => 'new', { tags: ['x'] })).toBe('new');
        await eventually(() => told.count > 0, { within: 20_000 });
        told.release();
      }
      await eventually(() => cache.stats().madeGood > 0, { within: 20_000 });
      await eventually(async () => (await cache.getOrSet('a', () => 'new', { tags: ['x'] })) === 'new');
    },
    60_000,
  );

  it.each([
    ['fails as well', ['cache.delete', 'cache.mark-stale']],
    ['succeeds', ['cache.delete']],
  ])('are not forgotten for a markStale that %s: nothing of a deleted value is served any more', async (_how, lost) => {
    await using app = await startCache(redis.connection);
    await using elsewhere = await startCache(redis.connection);
    const { cache } = app;
    const options = { staleIfError: '1h' } as const;
    await elsewhere.cache.set('a', 'deleted', options);
    const connection = app.context.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    const spy = jest
      .spyOn(connection, 'call')
      .mockImplementation((call, ...rest) =>
        lost.includes(call.operation)
          ? Promise.reject(new RedisUnavailableError('no answer', 'unknown'))
          : send(call, ...rest),
      );
    await expect(cache.delete('a')).rejects.toThrow(RedisUnavailableError);
    const marked = cache.markStale('a').then(() => 'marked');
    await (lost.length > 1 ? expect(marked).rejects.toThrow(RedisUnavailableError) : marked);
    expect(await cache.get('a')).toBeUndefined();
    spy.mockRestore();
    await eventually(async () => (await redis.client().exists('shop:cache:{a}')) === 0, { within: 20_000 });
    const failing = () => Promise.reject(new Error('no source'));
    await expect(elsewhere.cache.getOrSet('a', failing, options)).rejects.toThrow('no source');
  });

  it('count for a read that was under way when they failed', async () => {
    await using app = await startCache(redis.connection);
    const { cache } = app;
    await cache.set('a', 'deleted');
    const connection = app.context.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    const read = gate();
    const failed = gate();
    const spy = jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      if (call.operation === 'cache.delete') throw new RedisUnavailableError('no answer', 'unknown');
      const reply = await send(call, ...rest);
      if (call.operation === 'cache.get') {
        read.open();
        await failed.opened;
      }
      return reply;
    });
    const reading = cache.get('a');
    await read.opened;
    await expect(cache.delete('a')).rejects.toThrow(RedisUnavailableError);
    failed.open();
    expect(await reading).toBeUndefined();
    spy.mockRestore();
  });

  it('does not take away what was stored after them', async () => {
    await using app = await startCache(redis.connection);
    const { cache } = app;
    const connection = app.context.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    let failed = 0;
    // For as long as this lasts: what is told again while it is stored may well take it away.
    const spy = jest.spyOn(connection, 'call').mockImplementation((call, ...rest) => {
      if (call.operation !== 'cache.delete') return send(call, ...rest);
      failed += 1;
      return Promise.reject(new RedisUnavailableError('no answer', 'unknown'));
    });
    await expect(cache.delete('a')).rejects.toThrow(RedisUnavailableError);
    await eventually(() => failed > 1); // It is told again.
    expect(await cache.get('a')).toBeUndefined();
    await cache.set('a', 'new');
    expect(await cache.get('a')).toBe('new'); // Nothing is read here of what is still to be told.
    spy.mockRestore();
  });
});

describe('what is pending', () => {
  const outage = () => Promise.reject(new RedisUnavailableError('down', 'unknown'));

  /** Invalidations whose outcome the test decides. */
  function amends(limit = 3) {
    const clock = new ManualClock();
    const client = new EventEmitter();
    const sent: string[] = [];
    const state = { down: true };
    const sending = (id: string) => () => {
      if (state.down) return outage();
      sent.push(id);
      return Promise.resolve();
    };
    const pending = new Amends(client, clock, 100, { id: 'all', send: sending('all') }, () => undefined, limit);
    return {
      clock,
      client,
      sent,
      state,
      pending,
      fail: (id: string) => pending.attempt(id, sending(id), new WaitBudget(clock, 100)).catch(() => undefined),
      succeed: (id: string) => pending.attempt(id, () => Promise.resolve(), new WaitBudget(clock, 100)),
    };
  }

  it('is told again after a pause that grows, and at once when the connection is ready anew', async () => {
    const { clock, client, sent, state, pending, fail } = amends();
    await fail('a');
    await fail('a');
    await fail('b');
    expect(pending.size).toBe(2);
    for (const ms of [100, 200, 400]) {
      await clock.advanceAsync(ms - 1);
      await clock.advanceAsync(1);
      expect(clock.pending).toBe(1);
    }
    state.down = false;
    client.emit('ready');
    await clock.advanceAsync(0);
    expect(sent).toEqual(['a', 'b']);
    expect(pending.size).toBe(0);
    expect(clock.pending).toBe(0);
    expect(client.listenerCount('ready')).toBe(0);
  });

  it('becomes the invalidation of everything when it is too much', async () => {
    const { clock, sent, state, pending, fail } = amends(3);
    for (const id of ['a', 'b', 'c']) await fail(id);
    expect(pending.has('d')).toBe(false);
    await fail('d');
    expect(pending.size).toBe(1);
    expect(['a', 'd', 'never heard of'].every((id) => pending.has(id))).toBe(true);
    await fail('e');
    expect(pending.size).toBe(2);
    state.down = false;
    await clock.advanceAsync(100);
    expect(sent.toSorted()).toEqual(['all', 'e']);
    expect(pending.size).toBe(0);
  });

  it('is forgotten when a later call has done it, but not when an earlier one ends late', async () => {
    const { clock, pending, fail, succeed } = amends();
    await fail('a');
    await succeed('a');
    expect(pending.size).toBe(0);
    const late = gate();
    const early = pending.attempt('a', () => late.opened, new WaitBudget(clock, 100));
    await fail('a');
    late.open();
    await early;
    expect(pending.has('a')).toBe(true);
  });

  it('is not repeated when Redis refuses it for good', async () => {
    const { clock, pending } = amends();
    let calls = 0;
    const send = () => {
      calls += 1;
      return calls === 1 ? outage() : Promise.reject(new Error('refused'));
    };
    await pending.attempt('a', send, new WaitBudget(clock, 100)).catch(() => undefined);
    await clock.advanceAsync(100);
    expect(pending.size).toBe(0);
    await clock.advanceAsync(60_000);
    expect(calls).toBe(2);
  });
});
