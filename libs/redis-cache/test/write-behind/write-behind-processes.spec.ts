import { join } from 'node:path';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { Programs } from '@redstart/redis-testing/programs';

describeOn(standalone, cluster)('processes that write behind', (redis) => {
  let instances: Programs;
  beforeAll(async () => {
    instances = await Programs.compile(join(import.meta.dirname, '..', '..'), 'test/processes');
  }, 60_000);
  afterAll(() => instances[Symbol.asyncDispose]());

  const start = (keys: number, rounds: number, storeMs: number) =>
    instances.start('test/processes/writer-instance', { connection: redis.connection, keys, rounds, storeMs });

  it('lose nothing that was acknowledged when they are killed, while they write to the stream and to the store', async () => {
    await using killed = start(7, 100_000, 1_500);
    await killed.tells('ready', 60_000);
    killed.send('write');
    await eventually(() => killed.told('written').length > 100 && killed.told('writing').length > 1, {
      within: 30_000,
    });
    await killed.kill();
    const acknowledged = new Map<string, number>();
    for (const { id, round } of killed.told('written')) acknowledged.set(String(id), Number(round));
    expect(acknowledged.size).toBe(7);
    const stored = async () => redis.client().hgetall('store');
    const lost = async () => {
      const rows = await stored();
      return [...acknowledged].filter(([id, round]) => Number(rows[id] ?? 0) < round);
    };
    expect(await lost()).not.toEqual([]); // it was killed in time

    await using next = start(0, 0, 1);
    await next.tells('ready', 60_000);
    await eventually(
      async () => {
        expect(await lost()).toEqual([]);
      },
      { within: 60_000 },
    );
    // At most the one write that nobody was told of is newer.
    const rows = await stored();
    const ahead = [...acknowledged].filter(([id, round]) => Number(rows[id]) > round);
    expect(ahead.length).toBeLessThanOrEqual(1);
  }, 180_000);
});
