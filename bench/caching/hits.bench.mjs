import { Redis } from 'ioredis';
import { compare } from '../lib/compare.mjs';
import { baseline, flight, openCache, warm } from './caches.mjs';

const keys = Array.from({ length: 128 }, (_, number) => `hit-${number}`);
const hour = { ttl: '1h' };

/** Values that are there: from Redis, and from the near tier. */
export async function hitBenches({ url, counters, rounds, publish }) {
  const [raw, twin] = [new Redis(url), new Redis(url)];
  const far = await openCache(url, { near: false });
  const copy = await openCache(url);
  const frozen = await openCache(url, { near: { share: 'frozen' } });
  for (const [number, key] of keys.entries()) {
    await raw.set(`raw:${key}`, JSON.stringify(flight(number)), 'PX', 3_600_000);
    await far.cache.set(key, flight(number), hour);
  }
  await warm(copy.cache, keys);
  await warm(frozen.cache, keys);
  const keyOf = (number) => keys[number % keys.length];
  const get = (redis) => async (number) => JSON.parse(await redis.get(`raw:${keyOf(number)}`));
  const plain = { [baseline]: get(raw) };
  const of = { counters, rounds };
  const text = `GET and JSON.parse of a value of 1 KB, of ${keys.length} in turn, against get().`;
  publish(
    await compare({
      ...of,
      title: 'A hit from Redis',
      text: `${text} The near tier is off.`,
      concurrency: 64,
      contenders: { ...plain, 'redis-cache': (number) => far.cache.get(keyOf(number)) },
      bars: { 'redis-cache': { atLeast: 1.7 } },
    }),
  );
  publish(
    await compare({
      ...of,
      title: 'A hit from Redis',
      text: 'The same, one after the other.',
      concurrency: 1,
      sliceMs: 600,
      contenders: {
        ...plain,
        'redis-cache': (number) => far.cache.get(keyOf(number)),
        [`${baseline} again`]: get(twin),
      },
      bars: { 'redis-cache': { atLeast: 0.97 } },
    }),
  );
  publish(
    await compare({
      ...of,
      title: 'A hit from the near tier',
      text: `${text} Each caller gets a copy of its own, or all the same frozen value.`,
      concurrency: 64,
      contenders: {
        ...plain,
        copy: (number) => copy.cache.get(keyOf(number)),
        'shared, frozen': (number) => frozen.cache.get(keyOf(number)),
        'copy, by getOrSet': (number) => copy.cache.getOrSet(keyOf(number), notToBeLoaded, hour),
      },
      bars: { copy: { atLeast: 2.6 }, 'shared, frozen': { atLeast: 15 } },
      microsBars: { copy: { atMost: 4.4 }, 'shared, frozen': { atMost: 0.8 } },
    }),
  );
  publish(
    await compare({
      ...of,
      title: 'A hit from the near tier',
      text: 'The same, one after the other.',
      concurrency: 1,
      contenders: {
        ...plain,
        copy: (number) => copy.cache.get(keyOf(number)),
        'shared, frozen': (number) => frozen.cache.get(keyOf(number)),
      },
      bars: {},
    }),
  );
  raw.disconnect();
  twin.disconnect();
  for (const { close } of [far, copy, frozen]) await close();
}

function notToBeLoaded() {
  throw new Error('A hit runs no loader.');
}
