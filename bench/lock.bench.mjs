import { Crowd } from './contention/crowd.mjs';
import { crowdBench } from './contention/crowd.bench.mjs';
import { growthBench, herdBench } from './contention/herd.bench.mjs';
import { compare } from './lib/compare.mjs';
import { openLocker, ours, ownLockers } from './lockers/index.mjs';

/** Locks that nobody else wants, and one lock that everybody wants, against what one writes by hand. */
export async function lockBenches(context, lockers = ownLockers) {
  await uncontended(context, lockers);
  const crowd = await Crowd.start(context.url, lockers);
  try {
    const bench = { ...context, crowd, lockers };
    context.publish(await crowdBench(bench));
    context.publish(await herdBench(bench));
    context.publish(await growthBench(bench));
  } finally {
    await crowd.stop();
  }
}

async function uncontended({ url, counters, rounds, publish }, lockers) {
  const opened = [];
  for (const name of lockers) opened.push([name, await openLocker(name, url)]);
  const control = await openLocker(lockers[0], url);
  const contenders = Object.fromEntries(opened.map(([name, locker]) => [name, lockAndUnlock(locker)]));
  const bench = {
    title: 'lock + unlock',
    text: 'Takes a lock that nobody else wants, of 4096 in turn, and gives it back.',
    counters,
    rounds,
  };
  publish(
    await compare({
      ...bench,
      concurrency: 1,
      sliceMs: 600,
      // The same once more, on a connection of its own, shows what the noise of the machine is.
      contenders: { ...contenders, [`${lockers[0]} again`]: lockAndUnlock(control) },
      bars: { [ours]: { atLeast: 0.95 } },
    }),
  );
  publish(await compare({ ...bench, concurrency: 32, contenders, bars: { [ours]: { atLeast: 1.9 } } }));
  for (const [, locker] of opened) await locker.close();
  await control.close();
}

function lockAndUnlock({ acquire }) {
  return async (number) => {
    const release = await acquire(`free-${number % 4096}`);
    await release();
  };
}
