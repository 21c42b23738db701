import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { startBehind, Store } from './behind-app.js';

jest.setTimeout(90_000);
const within = { within: 30_000 };

describeOn(standalone, cluster)('what is not ours where a value is pending', (redis) => {
  it('keeps no write from the store, be it a key of another type or damaged bytes', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const store = new Store();
    await using app = await startBehind(redis.connection, store, { retry: { attempts: 3, backoff: 20 } });
    const at = (id: string) => `shop:cache:flights:{${id}}:pending`;
    await redis.client().rpush(at('foreign'), 'x');
    await redis.client().set(at('damaged'), '9999999999999-1\n{"a":');
    const ids = ['q1', 'foreign', 'q2', 'damaged', 'q3'];
    await Promise.all(ids.map((id) => app.behind.write(id, 1)));
    await eventually(async () => {
      expect(Object.fromEntries(store.rows)).toEqual(Object.fromEntries(ids.map((id) => [id, 1])));
      expect(await app.behind.pending()).toMatchObject({ pending: 0, deadLetters: 0 });
    }, within);
    expect(await Promise.all(ids.map((id) => app.flights.getOrSet(id)))).toEqual([1, 1, 1, 1, 1]);
    // It is left to whom it belongs to, and the log says what is wrong.
    expect(await redis.client().lrange(at('foreign'), 0, -1)).toEqual(['x']);
    expect(warn.mock.calls.join()).toMatch(/could not be shown to readers yet: .*WRONGTYPE/);
    warn.mockRestore();
  });
});
