import { slidingWindow } from '@redstart/redis-ratelimit';
import { Redis } from 'ioredis';
import { runSlice } from '../lib/slice.mjs';
import { median, quantile } from '../lib/statistics.mjs';
import { openService } from '../limiters/redstart.mjs';

const sizes = [10, 1_000, 100_000, 1_000_000];
/** As many of the rounds as keep the whole within a minute. */
const mostRounds = 5;
const windowMs = 3_600_000;
/** Coprime to every size, so that one key after the other is visited, and neighbours in time are none in memory. */
const stride = 7_919;

/**
 * Copies of a key under the names of other subjects.
 *
 * KEYS  the key of subject 0
 * ARGV  first subject, last subject, expiry (ms)
 */
const copyLua = `
  local state = redis.call('DUMP', KEYS[1])
  for subject = ARGV[1], ARGV[2] do
    local key = string.gsub(KEYS[1], '{grown:0}', string.format('{grown:%d}', subject))
    redis.call('RESTORE', key, ARGV[3], state)
  end`;

/** Whether a call gets dearer with the number of keys that are there. */
export async function growthBench({ url, counters, rounds }) {
  const { limiter, close } = await openService(url, { api: slidingWindow({ limit: 1_000_000, window: windowMs }) });
  const redis = new Redis(url);
  const { receipt } = await limiter.consume('api', ['grown', 0]);
  const [{ key }] = receipt.charges;
  const rows = [];
  let there = 1;
  for (const size of sizes) {
    for (; there < size; there = Math.min(size, there + 10_000)) {
      await redis.eval(copyLua, 1, key, there, Math.min(size, there + 10_000) - 1, windowMs);
    }
    const call = (number) => limiter.consume('api', ['grown', (number * stride) % size]);
    rows.push({ size, ...(await measure(call, { redis, counters, rounds: Math.min(rounds, mostRounds) })) });
  }
  await redis.flushdb('ASYNC');
  redis.disconnect();
  await close();
  return {
    title: 'Growth with the number of keys',
    text: [
      'Sliding windows of an hour, all of them there beforehand, called in a scattered order. The time of a call alone stands beside that of a GET in the same round,',
      'since the four sizes are measured one after the other. Calls of one tick on one key are merged, which with 64 in flight happens to 10 keys only: the last column compares',
      'with 1,000 keys.',
    ].join('\n'),
    tables: [rows.map((row) => rowOf(row, rows[1]))],
    verdicts: [],
  };
}

async function measure(call, { redis, counters, rounds }) {
  const timesMs = [];
  const ratios = [];
  const busy = [];
  const timed = async (number) => {
    const startedAt = performance.now();
    await call(number);
    timesMs.push(performance.now() - startedAt);
  };
  await runSlice(call, { concurrency: 64, ms: 250 });
  for (let round = 0; round < rounds; round += 1) {
    const get = await runSlice(() => redis.get('nothing'), { concurrency: 1, ms: 150 });
    const alone = await runSlice(timed, { concurrency: 1, ms: 300 });
    ratios.push(get.perSecond / alone.perSecond);
    const before = await counters.cpuMicros();
    const { count, perSecond, cpuMicros } = await runSlice(call, { concurrency: 64, ms: 300 });
    busy.push({ perSecond, cpuMicros, serverCpuMicros: ((await counters.cpuMicros()) - before) / count });
  }
  const figure = (name) => median(busy.map((slice) => slice[name]));
  return {
    medianMs: median(timesMs),
    slowMs: quantile(timesMs, 0.99),
    toGet: median(ratios),
    perSecond: figure('perSecond'),
    cpuMicros: figure('cpuMicros'),
    serverCpuMicros: figure('serverCpuMicros'),
  };
}

function rowOf({ size, medianMs, slowMs, toGet, perSecond, cpuMicros, serverCpuMicros }, unmerged) {
  return {
    keys: size.toLocaleString('en'),
    'alone p50 / p99': `${medianMs.toFixed(2)} / ${slowMs.toFixed(2)} ms`,
    'to a GET': `${toGet.toFixed(2)}x`,
    'per second, 64 in flight': Math.round(perSecond),
    'client CPU': `${cpuMicros.toFixed(1)} us`,
    'server CPU': `${serverCpuMicros.toFixed(1)} us`,
    'to 1,000 keys': `${(serverCpuMicros / unmerged.serverCpuMicros).toFixed(2)}x`,
  };
}
