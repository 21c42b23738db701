import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { OptionsError, RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import { gate, ownTime, startCache } from './app.js';

beforeEach(() => {
  for (const level of ['warn', 'error'] as const) {
    jest.spyOn(Logger.prototype, level).mockImplementation(() => undefined);
  }
});
afterEach(() => {
  jest.restoreAllMocks();
});

describe('a server that fails', () => {
  const budget = 250;

  it('is killed during a load: the loader answers, and it goes on when the server is back, empty', async () => {
    await using server = await RedisServer.start();
    await using app = await startCache({ url: server.url }, { budget });
    await using patient = await startCache({ url: server.url });
    const { cache } = app;
    await patient.cache.set('kept', 'old', { tags: ['x'] });
    const value = await cache.getOrSet('a', async () => {
      await server.kill();
      return 'loaded';
    });
    expect(value).toBe('loaded');
    expect(server.running).toBe(false);
    expect(await cache.getOrSet('kept', () => 'loaded')).toBe('loaded');
    await expect(cache.invalidateTags('x')).rejects.toThrow(RedisUnavailableError);
    await server.restart();
    await eventually(
      async () => {
        await cache.getOrSet('a', () => 'again');
        expect(await cache.get('a')).toBe('again');
      },
      { within: 20_000 },
    );
    expect(await cache.get('kept')).toBeUndefined();
  }, 60_000);

  it('is frozen: no call waits longer than its budget, and what had been invalidated stays so', async () => {
    await using server = await RedisServer.start();
    await using app = await startCache({ url: server.url }, { budget });
    await using patient = await startCache({ url: server.url });
    const { cache } = app;
    await patient.cache.set('a', 'old');
    server.pause();
    using waited = ownTime();
    expect(await cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    expect(await cache.getMany(['a', 'b', 'c'])).toEqual([undefined, undefined, undefined]);
    await expect(cache.delete('a')).rejects.toThrow(RedisUnavailableError);
    expect(waited.ms).toBeLessThan(4 * (budget + 250));
    expect(server.paused).toBe(true);
    server.resume();
    await eventually(async () => (await server.client().exists('shop:cache:{a}')) === 0, { within: 20_000 });
    await eventually(async () => (await cache.getOrSet('a', () => 'new')) === 'new', { within: 20_000 });
  }, 60_000);

  it('evicts what it likes: values, versions and leases; nothing invalidated is served', async () => {
    await using server = await RedisServer.start({
      args: ['--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-lru'],
    });
    await using here = await startCache({ url: server.url }, { compression: false });
    await using elsewhere = await startCache({ url: server.url }, { compression: false });
    const truth = new Map<number, number>();
    const key = (id: number) => ['value', id] as const;
    for (let round = 1; round <= 12; round += 1) {
      const ids = Array.from({ length: 100 }, (_, index) => (round * 37 + index * 7) % 400);
      const load = (id: number) => ({ version: truth.get(id) ?? 0, text: 'x'.repeat(8_000) });
      await Promise.all(
        ids.map((id) => here.cache.getOrSet(key(id), () => load(id), { tags: [['group', id % 10], 'all'] })),
      );
      const group = round % 10;
      for (let id = group; id < 400; id += 10) truth.set(id, round);
      await elsewhere.cache.invalidateTags(['group', group]);
      const values = await here.cache.getMany<{ version: number }>(Array.from({ length: 400 }, (_, id) => key(id)));
      values.forEach((value, id) => {
        if (value !== undefined) expect([id, value.version]).toEqual([id, truth.get(id) ?? 0]);
      });
    }
    expect(Number(/evicted_keys:(\d+)/.exec(await server.client().info('stats'))?.[1])).toBeGreaterThan(0);
  }, 60_000);

  it('has no memory left and evicts nothing: invalidations work on, values are returned and not stored', async () => {
    await using server = await RedisServer.start();
    await using app = await startCache({ url: server.url });
    const { cache } = app;
    await cache.set('a', 'old', { tags: ['x'] });
    const client = server.client();
    await client.config('SET', 'maxmemory', '1');
    expect(await cache.getOrSet('b', () => 'loaded')).toBe('loaded');
    expect(await cache.get('a')).toBe('old');
    await cache.invalidateTags('x');
    expect(await cache.get('a')).toBeUndefined();
    await cache.markTagsStale('x');
    await cache.clear();
    await cache.delete('a');
    await expect(cache.set('a', 'new')).rejects.toThrow(RedisUnavailableError);
  }, 60_000);
});

describe('a user of Redis that may not do what a cache does', () => {
  it.each([
    ['other keys only', ['~other:*', '&*', '+@all']],
    ['no scripts', ['~*', '&*', '+@all', '-evalsha', '-eval']],
    ['no channels', ['~*', 'resetchannels', '+@all']],
    ['no writes', ['~*', '&*', '+@read', '+@connection', '+eval', '+evalsha', '+time']],
  ])(
    'shows when the application starts: %s',
    async (_, rules) => {
      await using server = await RedisServer.start();
      await server.client().call('ACL', 'SETUSER', 'app', 'on', '>secret', 'resetkeys', ...rules, '+info', '+hello');
      const url = server.url.replace('redis://', 'redis://app:secret@');
      const started = startCache({ url });
      await expect(started).rejects.toThrow(OptionsError);
      await expect(started).rejects.toThrow(/RedisCacheModule: Redis refuses what a cache needs/);
      await expect(started).rejects.not.toThrow(/secret/);
    },
    60_000,
  );

  it('does so with a wrong password, too', async () => {
    await using server = await RedisServer.start();
    await server.client().call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all');
    const started = startCache({ url: server.url.replace('redis://', 'redis://app:wrong@') });
    await expect(started).rejects.toThrow(/refuses the connection/);
  }, 60_000);

  it('starts with what the README names', async () => {
    await using server = await RedisServer.start();
    const commands = '+mget +get +eval +evalsha +unlink +ttl +pttl +time +scan +publish +subscribe +unsubscribe';
    const inScripts = '+getrange +setrange +set +del +pexpire +exists';
    const connecting = '+info +hello +client +ping +select +quit +command';
    await server
      .client()
      .call(
        'ACL',
        'SETUSER',
        'app',
        'on',
        '>secret',
        '~shop:cache*',
        '&shop:cache*',
        ...`${commands} ${inScripts} ${connecting}`.split(' '),
      );
    await using app = await startCache({ url: server.url.replace('redis://', 'redis://app:secret@') });
    expect(await app.cache.getOrSet('a', () => 1, { tags: ['x'] })).toBe(1);
    await app.cache.markStale('a');
    await app.cache.invalidateTags('x');
    await app.cache.clear();
    expect(await app.cache.deleteByPrefix('a')).toBe(1);
  }, 60_000);
});

describeOn(standalone, cluster)('a Redis that loses everything', (redis) => {
  it('by FLUSHALL during a load: nothing that was read before is stored', async () => {
    await using app = await startCache(redis.connection);
    const started = gate();
    const done = gate();
    const call = app.cache.getOrSet('a', async () => {
      started.open();
      await done.opened;
      return 'old';
    });
    await started.opened;
    await redis.flush();
    done.open();
    expect(await call).toBe('old');
    expect(await app.cache.get('a')).toBeUndefined();
    const load = jest.fn(() => 'new');
    await Promise.all(Array.from({ length: 50 }, () => app.cache.getOrSet('a', load)));
    expect(load).toHaveBeenCalledTimes(1);
  });
});
