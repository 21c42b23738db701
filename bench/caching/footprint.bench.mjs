import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Redis } from 'ioredis';
import { runSlice } from '../lib/slice.mjs';
import { median } from '../lib/statistics.mjs';
import { flight, openCache, warm } from './caches.mjs';

v8.setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');
const hour = { ttl: '1h' };
const entries = 2_000;

/** What an entry takes in Redis and in the near tier, by its size. */
export async function footprintBench({ url }) {
  const redis = new Redis(url);
  const rows = [];
  for (const bytes of [20, 1_000, 10_000, 100_000]) {
    const value = (number) => (bytes < 500 ? { number, ok: true } : flight(number, bytes));
    const count = Math.min(entries, Math.floor(20_000_000 / bytes));
    const { cache, close } = await openCache(url, { near: { maxBytes: 2 ** 30 }, maxValueBytes: 1_000_000 });
    const keys = Array.from({ length: count }, (_, number) => `size:${bytes}:${number}`);
    for (const [number, key] of keys.entries()) await cache.set(key, value(number), hour);
    const json = JSON.stringify(value(1));
    await redis.set('raw:size', json, 'PX', 3_600_000);
    await cache.get('warm-up');
    const before = heap();
    await warm(cache, keys);
    const near = (heap() - before) / count;
    rows.push({
      JSON: `${json.length} B`,
      'Redis, plain SET': `${await memoryOf(redis, 'raw:size')} B`,
      'Redis, redis-cache': `${await memoryOf(redis, `bench:cache:{${keys[1]}}`)} B`,
      'near tier': `${Math.round(near)} B`,
      'near to JSON': `${(near / json.length).toFixed(1)}x`,
    });
    await close();
  }
  await redis.flushdb('ASYNC');
  redis.disconnect();
  return {
    title: 'Memory of an entry',
    text: [
      'In Redis by MEMORY USAGE, the key included; values of 1 KB and more are packed. In the near tier by the heap of the process before and after it has read',
      `up to ${entries.toLocaleString('en')} of them, garbage collected.`,
    ].join('\n'),
    tables: [rows],
    verdicts: [],
  };
}

/** What tags add to an entry, and to a read of it. */
export async function tagGrowthBench({ url, rounds }) {
  const redis = new Redis(url);
  const far = await openCache(url, { near: false });
  const near = await openCache(url);
  const counts = [0, 1, 5, 10, 20];
  const operations = {};
  for (const count of counts) {
    const tags = Array.from({ length: count }, (_, number) => `tag:${number}`);
    await far.cache.set(`tags-${count}`, flight(1), { ...hour, tags });
    await warm(near.cache, [`tags-${count}`]);
    operations[`near ${count}`] = () => near.cache.get(`tags-${count}`);
    operations[`named ${count}`] = () => far.cache.get(`tags-${count}`, { tags });
    operations[`unnamed ${count}`] = () => far.cache.get(`tags-${count}`);
  }
  const slices = await interleaved(operations, rounds);
  const rows = [];
  for (const count of counts) {
    const ratio = (way) =>
      `${median(slices[`${way} ${count}`].map((at, round) => at / slices[`${way} 0`][round])).toFixed(2)}x`;
    rows.push({
      tags: count,
      'memory in Redis': `${await memoryOf(redis, `bench:cache:{tags-${count}}`)} B`,
      'near hits to none': ratio('near'),
      'hits from Redis, tags named': ratio('named'),
      'hits from Redis, not named': ratio('unnamed'),
    });
  }
  redis.disconnect();
  for (const { close } of [far, near]) await close();
  return {
    title: 'Growth with the number of tags',
    text: 'A value of 1 KB, 64 reads in flight; throughput beside that of the same value without tags, in the same round.',
    tables: [rows],
    verdicts: [],
  };
}

/** Whether a near hit gets dearer with the number of entries, up to the bound and beyond it. */
export async function nearGrowthBench({ url, rounds }) {
  const bound = 10_000;
  const near = await openCache(url, { near: { maxEntries: bound } });
  const sizes = [100, 1_000, 10_000];
  const operations = {};
  for (let number = 0; number < bound * 2; number += 500) {
    const batch = Array.from({ length: 500 }, (_, at) => [`grown-${number + at}`, { number: number + at }]);
    await near.cache.setMany(batch, hour);
  }
  for (const size of sizes) operations[size] = (number) => near.cache.get(`grown-${(number * 7919) % size}`);
  await warm(
    near.cache,
    Array.from({ length: bound }, (_, number) => `grown-${number}`),
  );
  const slices = await interleaved(operations, rounds);
  const { hits, nearHits } = near.cache.stats();
  const beyond = await runSlice((number) => near.cache.get(`grown-${(number * 7919) % (2 * bound)}`), {
    concurrency: 64,
    ms: 1_000,
  });
  const after = near.cache.stats();
  await near.close();
  return {
    title: 'Growth of the near tier',
    text: `Small values, all of them read in a scattered order, 64 reads in flight; the near tier holds ${bound.toLocaleString('en')}.`,
    tables: [
      [
        ...sizes.map((size) => ({
          entries: size.toLocaleString('en'),
          'to 100': `${median(slices[size].map((at, round) => at / slices[100][round])).toFixed(2)}x`,
          'near hits': '100 %',
        })),
        {
          entries: `${(2 * bound).toLocaleString('en')}, twice what fits`,
          'to 100': `${(beyond.perSecond / median(slices[100])).toFixed(2)}x`,
          'near hits': `${((100 * (after.nearHits - nearHits)) / (after.hits - hits)).toFixed(0)} %`,
        },
      ],
    ],
    verdicts: [],
  };
}

/** @returns {Promise<Record<string, number[]>>} operations per second of each way, round by round */
async function interleaved(operations, rounds) {
  const slices = Object.fromEntries(Object.keys(operations).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, operation] of Object.entries(operations)) {
      const { perSecond } = await runSlice(operation, { concurrency: 64, ms: 100 });
      if (round > 0) slices[name].push(perSecond); // The first one warms up.
    }
  }
  return slices;
}

function memoryOf(redis, key) {
  return redis.memory('USAGE', key, 'SAMPLES', 0);
}

function heap() {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
