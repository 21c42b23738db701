import { baseline, ours } from '../lockers/index.mjs';
import { startingWith } from '../lib/compare.mjs';
import { judge, median, quantile } from '../lib/statistics.mjs';

const holdMs = 1;
const herdsPerRound = 3;

/** Many callers that want one lock at the same moment, once each. */
export async function herdBench({ crowd, counters, lockers, rounds }) {
  const workers = 50;
  const results = Object.fromEntries(lockers.map((locker) => [locker, []]));
  const herds = async (locker) => {
    const done = [];
    for (let at = 0; at < herdsPerRound; at += 1) done.push(await herd({ crowd, counters, locker, workers }));
    return middleOf(done);
  };
  for (const locker of lockers) await herds(locker);
  for (let round = 0; round < rounds; round += 1) {
    for (const locker of startingWith(round, lockers)) results[locker].push(await herds(locker));
  }
  const ratios = (locker) => results[locker].map(({ tookMs }, round) => tookMs / results[baseline][round].tookMs);
  const bar = { atMost: 0.75 };
  return {
    title: `A herd of ${workers}`,
    text:
      `Two processes, ${workers / 2} callers in each, all at the same moment. Each takes the one lock, holds it for ${holdMs} ms and gives it back: the time until ` +
      `the last one has done so, which is ${workers * holdMs} ms at the very least. Processor time is for one caller.`,
    tables: [
      lockers.map((locker) => ({
        contender: locker,
        ratio: `${median(ratios(locker)).toFixed(2)}x`,
        ...describe(middleOf(results[locker]), workers),
      })),
    ],
    verdicts: [
      { measure: `time to ${baseline}, polling`, bar, ...judge(ratios(ours), bar) },
      {
        measure: 'two at once',
        bar: { atMost: 0 },
        ...judge(
          results[ours].map(({ overlaps }) => overlaps),
          { atMost: 0 },
        ),
      },
    ],
  };
}

/** How the wait grows with the number of those who wait. Nobody judges it: it is to be seen that it grows in a line. */
export async function growthBench({ crowd, counters, lockers, rounds }) {
  const table = [];
  for (const workers of [10, 100, 1_000]) {
    const results = Object.fromEntries(lockers.map((locker) => [locker, []]));
    for (let round = 0; round < Math.min(rounds, 3); round += 1) {
      for (const locker of startingWith(round, lockers)) {
        results[locker].push(await herd({ crowd, counters, locker, workers }));
      }
    }
    for (const locker of lockers) {
      table.push({ callers: workers, contender: locker, ...describe(middleOf(results[locker]), workers) });
    }
  }
  return {
    title: 'Growth of the wait',
    text: 'As the herd, with more and more callers; medians of three runs. What each caller adds should stay the same.',
    tables: [table],
    verdicts: [],
  };
}

async function herd({ crowd, counters, locker, workers }) {
  const serverBefore = await counters.cpuMicros();
  const { turns, cpuMicros } = await crowd.run({ locker, key: `herd-of-${workers}`, workers, holdMs });
  return {
    tookMs: turns.tookMs,
    waitMs: median(turns.waitsMs),
    longestWaitMs: Math.max(...turns.waitsMs),
    handOffMs: median(turns.handOffsMs),
    slowHandOffMs: quantile(turns.handOffsMs, 0.99),
    overlaps: turns.overlaps,
    cpuMicros: cpuMicros / workers,
    serverCpuMicros: ((await counters.cpuMicros()) - serverBefore) / workers,
  };
}

/** The median of every figure, but the worst of `overlaps`: one is too many. */
function middleOf(herds) {
  const values = (name) => herds.map((one) => one[name]);
  const figures = Object.keys(herds[0]).map((name) => [name, median(values(name))]);
  return { ...Object.fromEntries(figures), overlaps: Math.max(...values('overlaps')) };
}

function describe(figures, workers) {
  return {
    'until all were served': `${figures.tookMs.toFixed(0)} ms`,
    'for each': `${(figures.tookMs / workers).toFixed(2)} ms`,
    'wait p50 / max': `${figures.waitMs.toFixed(0)} / ${figures.longestWaitMs.toFixed(0)} ms`,
    'hand-off p50 / p99': `${figures.handOffMs.toFixed(2)} / ${figures.slowHandOffMs.toFixed(2)} ms`,
    'client CPU': `${figures.cpuMicros.toFixed(0)} us`,
    'server CPU': `${figures.serverCpuMicros.toFixed(0)} us`,
    'two at once': figures.overlaps,
  };
}
