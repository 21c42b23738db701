import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { RedisCommandError } from '@redstart/redis-core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { DrivenHost } from './driven-host.js';

const key = 'shop:lock:{order:42}';

/** Failures that no retry cures. They are no outage, so nobody else reports them. */
describeOn(standalone)('a renewal that Redis refuses', (redis) => {
  let host: DrivenHost;
  let error: jest.SpiedFunction<Logger['error']>;
  const acl = (...rules: string[]) => redis.client().acl('SETUSER', 'default', ...rules);
  beforeEach(async () => {
    error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    host = await DrivenHost.start(redis.connection);
  });
  afterEach(async () => {
    await acl('+@all', 'allkeys');
    await host[Symbol.asyncDispose]();
    error.mockRestore();
  });

  it.each([
    [
      'WRONGTYPE',
      async () => {
        await redis.client().multi().del(key).rpush(key, 'a list').exec();
      },
    ],
    [
      'NOPERM',
      async () => {
        await acl('-evalsha');
      },
    ],
  ])('is logged as an error each time, and the lock is lost at its deadline: %s', async (reason, breakIt) => {
    const lock = await host.locks.acquire('order:42', { ttl: '9s', autoExtend: true });
    const other = await host.locks.acquire('other', { ttl: '60s', autoExtend: true });
    const { signal } = lock;
    await breakIt();

    for (const times of [1, 2]) {
      host.clock.advance(3_000);
      await eventually(() => {
        expect(error).toHaveBeenCalledTimes(times);
      });
      const message = String(error.mock.calls.at(-1)?.[0]);
      expect(message).toContain(`"${key}"`);
      expect(message).toContain(reason);
      expect(message).not.toContain(lock.token);
      expect(lock.isHeld).toBe(true);
    }
    host.clock.advance(lock.remainingMs - 1);
    expect(signal.aborted).toBe(false);
    host.clock.advance(1);
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline', key });
    expect(other.isHeld).toBe(true);
  });

  it('is told to who asks for it', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '9s' });
    await acl('-evalsha');
    await expect(lock.extend()).rejects.toThrow(RedisCommandError);
    expect(lock.isHeld).toBe(true);
  });

  it.each([
    [
      'WRONGTYPE',
      async () => {
        await redis.client().multi().del(key).rpush(key, 'a list').exec();
      },
    ],
    [
      'NOPERM',
      async () => {
        await acl('resetkeys', '~shop:lock:{order:43}*');
      },
    ],
  ])('leaves the other locks that were due with it alone: %s', async (reason, breakIt) => {
    const lock = await host.locks.acquire('order:42', { ttl: '9s', autoExtend: true });
    const neighbour = await host.locks.acquire(['order', 43], { ttl: '9s', autoExtend: true });
    await breakIt();
    host.clock.advance(3_000);
    await eventually(() => {
      expect(error).toHaveBeenCalledTimes(1);
      expect(neighbour.remainingMs).toBe(9_000 * 0.99 - 2);
    });
    expect(error.mock.calls[0]?.[0]).toContain(reason);
    expect(error.mock.calls[0]?.[0]).not.toContain('order:43');
    expect(lock.remainingMs).toBe(9_000 * 0.99 - 2 - 3_000);
  });
});
