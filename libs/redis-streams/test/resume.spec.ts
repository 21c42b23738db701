import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { defineStream, event, StreamConsumer, StreamHandler, type StreamContext } from '../src/index.js';
import { resumeScript } from '../src/scripts/resume.js';
import { pending } from './support/read-redis.js';
import { closeApps, startApp } from './support/start-app.js';

afterEach(closeApps);

const call = { library: 'test', operation: 'test', budgetMs: 10_000 };
const moves = defineStream('moves', { events: { moved: event<{ n: number }>() }, partitions: 1 });
const key = 'shop:stream:{moves/0}';
const mebibyte = 1024 * 1024;
const count = 12;

describeOn(standalone, cluster)('large entries that are pending', (redis) => {
  /** Of 1000 KiB each, delivered to somebody who died. */
  beforeEach(async () => {
    const client = redis.client();
    const filler = 'x'.repeat(1000 * 1024);
    for (let n = 0; n < count; n += 1) {
      await client.xadd(key, '*', 't', 'moved', 'd', JSON.stringify({ n, filler }), 'i', `m-${n}`, 'k', `key-${n}`);
    }
    await client.xgroup('CREATE', key, 'billing', '0');
    await client.call('xreadgroup', 'GROUP', 'billing', 'gone', 'COUNT', count, 'STREAMS', key, '>');
  });

  it('are taken up with a few MiB at a time, the oldest first, until none is left', async () => {
    const app = await startApp({ connection: redis.connection, streams: [moves], options: { consumers: false } });
    const { scripts } = app.get<RedisConnection>(getRedisConnectionToken());
    const all = (await pending(redis.client(), 'billing', key)).map(({ id }) => id);
    const known: string[] = [];
    const steps: number[] = [];
    for (let more = true; more;) {
      const args = ['billing', 'gone', 200, 4 * mebibyte, '+', '', 600_000, ...known];
      const resumption = await scripts.run(call, resumeScript, [key], args);
      ({ more } = resumption);
      known.push(...resumption.entries.map(({ id }) => id));
      steps.push(resumption.entries.length);
    }
    expect(steps).toEqual([5, 5, 2]);
    expect(known).toEqual(all);
  });

  it('are held only as far as there is room for their bytes', async () => {
    const running = new Set<() => void>();
    const begun: number[] = [];
    let most = 0;
    @StreamConsumer(moves, { group: 'billing', concurrency: 100 })
    class Moving {
      @StreamHandler('moved')
      async moved({ n }: { n: number }, { signal }: StreamContext) {
        begun.push(n);
        await new Promise<void>((resolve) => {
          running.add(resolve);
          signal.addEventListener('abort', () => {
            resolve();
          });
        });
      }
    }
    const options = { maxHeldBytes: 6 * mebibyte };
    await startApp({ connection: redis.connection, streams: [moves], consumers: [Moving], options });
    await eventually(
      async () => {
        most = Math.max(most, running.size);
        const [first] = running;
        if (first !== undefined) {
          running.delete(first);
          first();
        }
        expect(begun).toHaveLength(count);
        expect(await pending(redis.client(), 'billing', key)).toEqual([]);
      },
      { within: 20_000 },
    );
    // Where the limit is passed, the last one was begun below it.
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(7);
    expect(begun.toSorted((one, other) => one - other)).toEqual(Array.from({ length: count }, (_, n) => n));
  });
});
