import { jest } from '@jest/globals';
import { getRedisConnectionToken, type RedisConnection, type ScriptRunner } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import type { LoadContext } from '../src/index.js';
import { startCache, type CacheApp } from './app.js';

const tag = 'shop:cache:{late}:tag';
/** More than the clocks of nodes may be apart. */
const behindMicros = 5_000_000;

describeOn(standalone, cluster)(
  'a tag that only the loader names, at a master whose clock is behind, or has been set back during the load',
  (redis) => {
    let here: CacheApp;
    beforeEach(async () => {
      here = await startCache(redis.connection);
      const { scripts } = here.context.get<RedisConnection>(getRedisConnectionToken());
      const run: ScriptRunner['run'] = scripts.run.bind(scripts);
      // What that master says of its time; what it stores of it, `invalidate` writes.
      jest.spyOn(scripts, 'run').mockImplementation(async (call, script, keys, args) => {
        const reply = await run(call, script, keys, args);
        if (keys[0] === tag) Object.assign(reply as object, { nowMicros: behind() });
        return reply;
      });
    });
    afterEach(async () => {
      jest.restoreAllMocks();
      await here[Symbol.asyncDispose]();
    });

    /** All masters are on this machine, and so have its time. By the clock that loads are measured with: whole milliseconds would make a tag older than it is. */
    const behind = () => Math.floor((performance.timeOrigin + performance.now()) * 1_000) - behindMicros;

    /** @param agoMs so long ago that no pause of this process is longer */
    const invalidate = async (agoMs = 0) => redis.client().set(tag, `${behind() - agoMs * 1_000}`, 'PX', 300_000);

    it('is seen to be invalidated while the loader runs', async () => {
      const load = async (context: LoadContext) => {
        await invalidate();
        context.addTags('late');
        return 'old';
      };
      expect(await here.cache.getOrSet('a', load)).toBe('old');
      expect(await here.cache.get('a')).toBeUndefined();
      expect(here.cache.stats().staleLoads).toBe(1);
    });

    it('is seen to be invalidated before, and what is loaded then is stored', async () => {
      await invalidate(60_000);
      const load = (context: LoadContext) => {
        context.addTags('late');
        return 'new';
      };
      expect(await here.cache.getOrSet('a', load)).toBe('new');
      expect(await here.cache.get('a')).toBe('new');
    });
  },
);
