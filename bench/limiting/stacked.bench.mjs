import { all, gcra, slidingWindow, tokenBucket } from '@redstart/redis-ratelimit';
import { compare } from '../lib/compare.mjs';
import { openService } from '../limiters/redstart.mjs';

const limit = 1_000_000_000;
/** A policy under its name in the table: each has the limits of the one before, and more. */
const limits = [
  slidingWindow({ limit, window: '1m' }),
  slidingWindow({ limit, window: '1h' }),
  slidingWindow({ limit, window: '1d' }),
  gcra({ rate: 1_000_000, per: '1s' }),
  tokenBucket({ capacity: 10_000_000, per: '10s' }),
];
const names = { one: 'one limit', three: 'three limits in one policy', five: 'five limits in one policy' };
const apart = 'three policies, one call each';

/** Several limits on one key are decided together: what the second to fifth one add. */
export async function stackedBench({ url, counters, rounds }) {
  const { limiter, close } = await openService(url, {
    one: limits[0],
    three: all(...limits.slice(0, 3)),
    five: all(...limits),
    minute: limits[0],
    hour: limits[1],
    day: limits[2],
  });
  const stacked = Object.entries(names).map(([policy, name]) => [
    name,
    (number) => limiter.consume(policy, `stacked:${number % 1_000}`),
  ]);
  const section = await compare({
    title: 'Stacked limits',
    text: 'Each call has another key, of 1000 in turn. Three limits are sliding windows of a minute, an hour and a day; five have GCRA and a token bucket besides.',
    concurrency: 1,
    sliceMs: 300,
    contenders: {
      ...Object.fromEntries(stacked),
      async [apart](number) {
        for (const policy of ['minute', 'hour', 'day']) await limiter.consume(policy, `apart:${number % 1_000}`);
      },
    },
    bars: {},
    counters,
    rounds,
  });
  const messages = await messagesOf(() => limiter.consume('five', 'stacked:counted'), counters);
  await close();
  return {
    ...section,
    verdicts: [
      {
        measure: `messages for ${names.five}`,
        bar: { atMost: 1 },
        median: messages,
        lower: messages,
        upper: messages,
        passed: messages === 1,
      },
    ],
  };
}

/** How many commands came over the network for one call. */
async function messagesOf(call, counters) {
  const { sent } = await counters.commandsOf(call);
  return [...sent.values()].reduce((sum, times) => sum + times, 0);
}
