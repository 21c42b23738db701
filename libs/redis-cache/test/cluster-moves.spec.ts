import { cluster, describeOn } from '@redstart/redis-testing';
import { startCache } from './app.js';

describeOn(cluster)('a slot that is on its way to another master', (redis) => {
  it.each([
    ['that has moved already', true],
    ['that is in neither', false],
  ])('holds up neither a read nor a deletion of a value %s', async (_, isThere) => {
    await using app = await startCache(redis.connection, { near: false });
    const { cache } = app;
    const key = 'shop:cache:{flight}';
    const masters = await redis.cluster.masters();
    const from = await redis.cluster.nodeOf(key);
    const to = masters.find((master) => master !== from) ?? from;
    if (isThere) await cache.set('flight', 'old');
    await redis.cluster.migrateSlot(await redis.cluster.slotOf(key), to, {
      during: async () => {
        expect(await cache.get('flight')).toBe(isThere ? 'old' : undefined);
        await cache.delete('flight');
        expect(await cache.get('flight')).toBeUndefined();
      },
    });
    expect(await cache.get('flight')).toBeUndefined();
    expect(cache.stats().errors).toBe(0);
  });
});
