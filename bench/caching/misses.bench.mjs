import { Redis } from 'ioredis';
import { compare } from '../lib/compare.mjs';
import { baseline, flight, openCache } from './caches.mjs';

const ours = 'redis-cache';

/** Values that are not there: loaded and stored. */
export async function missBench({ url, counters, rounds }) {
  const raw = new Redis(url);
  const { cache, close } = await openCache(url);
  const value = flight(1);
  let misses = 0;
  const load = () => value;
  const section = await compare({
    counters,
    rounds,
    title: 'A miss',
    text: [
      'getOrSet() of a key that is not there, with a loader that returns 1 KB at once, near tier on: read, lease, load, store. Against GET, the loader, and SET with a',
      'ttl, which protects from nothing.',
    ].join('\n'),
    concurrency: 16,
    sliceMs: 600,
    warmUpMs: 4_000, // It takes some ten thousand misses until the code is compiled.
    contenders: {
      [baseline]: async () => {
        const key = `raw:miss-${(misses += 1)}`;
        if ((await raw.get(key)) !== null) throw new Error('It was not to be there.');
        await raw.set(key, JSON.stringify(load()), 'PX', 60_000);
      },
      [ours]: () => cache.getOrSet(`miss-${(misses += 1)}`, load, { ttl: '1m' }),
    },
    bars: { [ours]: { atLeast: 0.6 } },
    cpuBars: { [ours]: { atMost: 1.3 } },
  });
  await raw.flushdb('ASYNC');
  raw.disconnect();
  await close();
  return section;
}
