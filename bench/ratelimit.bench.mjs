import { compare } from './lib/compare.mjs';
import { baseline, openLimiter, ours, ownLimiters } from './limiters/index.mjs';
import { footprintBench } from './limiting/footprint.bench.mjs';
import { growthBench } from './limiting/growth.bench.mjs';
import { httpBench } from './limiting/http.bench.mjs';
import { stackedBench } from './limiting/stacked.bench.mjs';

/** Wide enough that nothing is ever denied, and old buckets leave while it is measured. */
const wide = { limit: 1_000_000_000, windowMs: 60_000 };
const narrow = { limit: 1, windowMs: 3_600_000 };
const manyKeys = 10_000;

/** What a limit costs: calls, stacked limits, requests, memory. */
export async function ratelimitBenches(context) {
  await consumeBenches(context);
  context.publish(await stackedBench(context));
  context.publish(await httpBench(context));
  context.publish(await footprintBench(context));
  context.publish(await growthBench(context));
}

/** `consume()` against what one writes by hand. */
export async function consumeBenches({ url, counters, rounds, publish }, limiters = ownLimiters) {
  const opened = [];
  const contenders = async (law, keyOf) => {
    const ways = [];
    for (const name of limiters) {
      const limiter = await openLimiter(name, url, law);
      opened.push(limiter);
      ways.push([name, (number) => limiter.consume(keyOf(number))]);
    }
    return Object.fromEntries(ways);
  };
  const of = { counters, rounds };
  const hot = await contenders(wide, () => 'hot');
  publish(
    await compare({
      ...of,
      title: 'consume() on one hot key',
      text: 'Everybody is counted by the same key, and nobody is denied.',
      concurrency: 64,
      contenders: hot,
      bars: { [ours]: { atLeast: 2 } },
    }),
  );
  const many = await contenders(wide, (number) => `user:${number % manyKeys}`);
  publish(
    await compare({
      ...of,
      title: 'consume() over 10,000 keys',
      text: `Each call has another key, of ${manyKeys} in turn, and nobody is denied.`,
      concurrency: 64,
      contenders: many,
      bars: { [ours]: { atLeast: 1 } },
      cpuBars: { [ours]: { atMost: 0.6 } },
    }),
  );
  publish(
    await compare({
      ...of,
      title: 'consume() over 10,000 keys',
      text: 'The same, one after the other: nothing can be merged.',
      concurrency: 1,
      sliceMs: 400,
      contenders: {
        ...many,
        [`${baseline} again`]: (await contenders(wide, (number) => `again:${number % manyKeys}`))[baseline],
      },
      bars: {},
    }),
  );
  publish(
    await compare({
      ...of,
      title: 'consume() on a denied key',
      text: 'The limit is used up for an hour: everybody is denied.',
      concurrency: 64,
      contenders: await contenders(narrow, () => 'denied'),
      bars: { [ours]: { atLeast: 10 } },
    }),
  );
  for (const limiter of opened) await limiter.close();
}
