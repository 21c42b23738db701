import { baseline, ours } from '../lockers/index.mjs';
import { startingWith } from '../lib/compare.mjs';
import { countedCosts } from '../lib/operation-costs.mjs';
import { judge, median, quantile } from '../lib/statistics.mjs';

const workers = 50;
const holdMs = 1;
const sliceMs = 1_500;

/**
 * Workers that want one lock again and again: who gets it how often, how fast it changes hands, and what a turn costs.
 *
 * Polling comes in two forms. Eager, a worker asks again the moment it has let go, finds the lock free nearly always and starves the others: its throughput is
 * that of a lock that does not change hands, and no lock that does can reach it. Paced, it waits for its next attempt like everybody else. The bar is for
 * that one, which shares; the other is printed beside it.
 */
export async function crowdBench({ crowd, counters, lockers, rounds }) {
  const contenders = new Map([
    [baseline, { locker: baseline, paced: true }],
    [`${baseline}, eager`, { locker: baseline }],
    ...lockers.filter((locker) => locker !== baseline).map((locker) => [locker, { locker }]),
  ]);
  const names = [...contenders.keys()];
  const results = Object.fromEntries(names.map((name) => [name, []]));
  const run = (name, forMs = sliceMs) => crowd.run({ ...contenders.get(name), key: 'crowd', workers, forMs, holdMs });
  for (const name of names) await run(name, 500);
  for (let round = 0; round < rounds; round += 1) {
    for (const name of startingWith(round, names)) {
      const serverBefore = await counters.cpuMicros();
      const done = await run(name);
      results[name].push(figuresOf(done, (await counters.cpuMicros()) - serverBefore));
    }
  }
  const costs = {};
  for (const name of names) costs[name] = await countedCosts(() => run(name, 500), counters);
  const throughput = (name) =>
    results[name].map(({ perSecond }, round) => perSecond / results[baseline][round].perSecond);
  const own = (figure) => results[ours].map((result) => result[figure]);
  const verdict = (measure, samples, bar) => ({ measure, bar, ...judge(samples, bar) });
  return {
    title: `2 x ${workers / 2} workers on one lock`,
    text: [
      `Two processes, ${workers / 2} workers in each. Every worker takes the one lock, holds it for ${holdMs} ms (by a timer), gives it back and comes again.`,
      'Figures are medians of the rounds; a hand-off lasts from the call that gives the lock back until the next worker has it, in whichever process.',
      `${baseline} asks every 10 ms until it has the lock, and its worker pauses as long before it comes again; eager, it comes again at once, and mostly has it again.`,
    ].join('\n'),
    tables: [
      names.map((name) => behaviourOf(name, results[name], median(throughput(name)))),
      names.map((name) => costsOf(name, results[name], costs[name])),
    ],
    verdicts: [
      verdict('most turns of a worker / fewest', own('unfairness'), { atMost: 1.1 }),
      verdict('share taken again by the same worker', own('retakenShare'), { atMost: 0.02 }),
      verdict(`throughput to ${baseline}, polling`, throughput(ours), { atLeast: 1.1 }),
      verdict('hand-off, median, ms', own('handOffMs'), { atMost: 0.3 }),
      verdict('two at once', [Math.max(...own('overlaps'))], { atMost: 0 }),
    ],
  };
}

function figuresOf({ turns, count, cpuMicros, calls }, serverCpuMicros) {
  return {
    perSecond: (turns.count / sliceMs) * 1000,
    unfairness: turns.unfairness(workers),
    retakenShare: turns.retakenShare,
    handOffMs: median(turns.handOffsMs),
    slowHandOffMs: quantile(turns.handOffsMs, 0.99),
    waitMs: median(turns.waitsMs),
    slowWaitMs: quantile(turns.waitsMs, 0.99),
    overlaps: turns.overlaps,
    cpuMicros: cpuMicros / count,
    serverCpuMicros: serverCpuMicros / count,
    calls: calls === undefined ? undefined : calls / count,
  };
}

function behaviourOf(name, results, throughput) {
  const figure = middleOf(results);
  return {
    contender: name,
    'turns per second': Math.round(figure('perSecond')),
    ratio: `${throughput.toFixed(2)}x`,
    'most / fewest': figure('unfairness').toFixed(2),
    'taken again': `${(figure('retakenShare') * 100).toFixed(1)} %`,
    'hand-off p50 / p99': `${figure('handOffMs').toFixed(2)} / ${figure('slowHandOffMs').toFixed(2)} ms`,
    'wait p50 / p99': `${figure('waitMs').toFixed(1)} / ${figure('slowWaitMs').toFixed(0)} ms`,
    'two at once': Math.max(...results.map(({ overlaps }) => overlaps)),
  };
}

/** For one turn. */
function costsOf(name, results, { messages, inScripts, bytes }) {
  const figure = middleOf(results);
  return {
    contender: name,
    'client CPU': `${figure('cpuMicros').toFixed(0)} us`,
    'server CPU': `${figure('serverCpuMicros').toFixed(0)} us`,
    'messages sent': messages,
    'run in scripts': inScripts,
    'bytes out / in': bytes,
    'system calls': results[0].calls === undefined ? 'unknown' : figure('calls').toFixed(1),
  };
}

const middleOf = (results) => (figure) => median(results.map((result) => result[figure]));
