import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { gate, type CacheApp } from '../app.js';
import { patience, readBy, startNear, warm } from './near-app.js';

jest.setTimeout(90_000);

/** A companion in the slot of `flight`: what is heard of it was said after what was said of `flight` before. */
const marker = ['marker'] as const;

describeOn(standalone, cluster)('a read of Redis and a change that cross', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  beforeEach(async () => {
    jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
    here = await startNear(redis.connection);
    elsewhere = await startNear(redis.connection);
    // So that `here` listens.
    await here.cache.set('warm', 1);
    await warm(here, () => here.cache.get('warm'));
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });

  /** Holds the reply of the n-th call for reading that `here` sends from now on; it has arrived when Redis has answered all that were sent until then. */
  function holdReply(nth: number) {
    const connection = here.context.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    const arrived = gate();
    const released = gate();
    let reads = 0;
    let unanswered = 0;
    const spy = jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      if (call.operation !== 'cache.get') return send(call, ...rest);
      const held = (reads += 1) === nth;
      unanswered += 1;
      const reply = await send(call, ...rest);
      unanswered -= 1;
      // On a Cluster the parts of one read go to several masters: what is changed now is changed behind all of them.
      if (reads >= nth && unanswered === 0) arrived.open();
      if (held) await released.opened;
      return reply;
    });
    return {
      arrived: arrived.opened,
      release: () => {
        spy.mockRestore();
        released.open();
      },
    };
  }

  /** Resolves when `here` has heard of everything that was said before. */
  async function allHeard(): Promise<void> {
    // On a Cluster each master speaks for itself: one key at each.
    const keys = Array.from({ length: 12 }, (_, index) => [...marker, index]);
    for (const key of keys) await elsewhere.cache.set(key, 'before');
    for (const key of keys) await warm(here, () => here.cache.get(key));
    for (const key of keys) await elsewhere.cache.set(key, 'after');
    await eventually(async () => {
      for (const key of keys) expect(await here.cache.get(key)).toBe('after');
    }, patience);
  }

  const changes: [string, () => Promise<unknown>, unknown][] = [
    ['a deletion', () => elsewhere.cache.delete('flight'), undefined],
    ['a set', () => elsewhere.cache.set('flight', 'new', { tags: ['flights'] }), 'new'],
    ['an invalidated tag', () => elsewhere.cache.invalidateTags('flights'), undefined],
    ['a clear', () => elsewhere.cache.clear(), undefined],
    ['a change of its own', () => here.cache.delete('flight'), undefined],
    ['an invalidated tag of its own', () => here.cache.invalidateTags('flights'), undefined],
  ];

  it.each(changes)('leave nothing old behind when the reply comes last: %s', async (_name, change, fresh) => {
    await elsewhere.cache.set('flight', 'old', { tags: ['flights'] });
    const reply = holdReply(1);
    const read = here.cache.get('flight', { tags: ['flights'] });
    await reply.arrived;
    await change();
    reply.release();
    const first = await read;
    await allHeard();
    // Whoever asked before the change was complete may have the old value; whoever asks now may not.
    expect(['old', fresh]).toContain(first);
    expect(await here.cache.get('flight')).toBe(fresh);
  });

  it.each(changes)('leave nothing old behind when the word of it comes first: %s', async (_name, change, fresh) => {
    await elsewhere.cache.set('flight', 'old', { tags: ['flights'] });
    const reply = holdReply(1);
    const read = here.cache.get('flight', { tags: ['flights'] });
    await reply.arrived;
    await change();
    await allHeard();
    reply.release();
    expect(await read).toBe('old'); // It had asked before.
    expect(await readBy(here, () => here.cache.get('flight'))).toEqual({ value: fresh, near: false });
  });

  it('leave nothing old behind when the tag is one that only the entry knows', async () => {
    await elsewhere.cache.set('flight', 'old', { tags: ['flights'] });
    // The first one brings the entry and the version of the cache, on a Cluster two of them; the last one the version of the tag.
    const reply = holdReply(redis.topology === 'cluster' ? 3 : 2);
    const read = here.cache.get('flight');
    await reply.arrived;
    await elsewhere.cache.invalidateTags('flights');
    await allHeard();
    reply.release();
    expect(await read).toBe('old');
    expect(await readBy(here, () => here.cache.get('flight'))).toEqual({ value: undefined, near: false });
  });

  it('leave nothing behind that was read before Redis was emptied', async () => {
    await elsewhere.cache.set('flight', 'old');
    const reply = holdReply(1);
    const read = here.cache.get('flight');
    await reply.arrived;
    await redis.flush();
    await allHeard();
    reply.release();
    expect(await read).toBe('old');
    expect(await here.cache.get('flight')).toBeUndefined();
  });
});
