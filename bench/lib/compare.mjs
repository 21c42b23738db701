import { operationCosts } from './operation-costs.mjs';
import { runSlice } from './slice.mjs';
import { judge, median } from './statistics.mjs';

/**
 * Compares ways to do the same work, fairly on a noisy machine: every round runs one slice of each contender, each round begins with another one, and only ratios
 * within a round count. The first contender is what the others are compared with.
 *
 * @param {object} bench
 * @param {string} bench.title
 * @param {string} bench.text what one operation is
 * @param {number} bench.concurrency how many operations are in flight at any time
 * @param {Record<string, (number: number) => Promise<unknown>>} bench.contenders
 * @param {Record<string, { atLeast: number }>} bench.bars of the throughput, by contender; whoever has none is only printed
 * @param {Record<string, { atMost: number }>} [bench.cpuBars] of the processor time of this process for one operation, likewise
 * @param {Record<string, { atMost: number }>} [bench.microsBars] of that time itself, in microseconds
 * @param {number} [bench.warmUpMs] for how long each contender runs before anything is measured, where its code takes longer to be compiled
 * @param {import('./server-counters.mjs').ServerCounters} bench.counters
 * @returns {Promise<import('./report.mjs').Section>}
 */
export async function compare({
  title,
  text,
  concurrency,
  contenders,
  bars,
  cpuBars = {},
  microsBars = {},
  counters,
  rounds = 11,
  sliceMs = 250,
  warmUpMs = sliceMs,
}) {
  const names = Object.keys(contenders);
  const slices = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) await runSlice(contenders[name], { concurrency, ms: warmUpMs });
  for (let round = 0; round < rounds; round += 1) {
    for (const name of startingWith(round, names)) {
      const serverBefore = await counters.cpuMicros();
      const slice = await runSlice(contenders[name], { concurrency, ms: sliceMs });
      slices[name].push({ ...slice, serverCpuMicros: ((await counters.cpuMicros()) - serverBefore) / slice.count });
    }
  }
  const costs = {};
  for (const name of names) costs[name] = await operationCosts(contenders[name], { concurrency, counters });
  const [baseline] = names;
  const ratios = (name, figure) => slices[name].map((slice, round) => slice[figure] / slices[baseline][round][figure]);
  const rows = names.map((name) => ({
    name,
    ratio: judge(ratios(name, 'perSecond'), bars[name]),
    figures: medians(slices[name]),
    costs: costs[name],
  }));
  return {
    title: `${title}, ${concurrency === 1 ? 'one' : concurrency} in flight`,
    text,
    tables: [rows.map((row) => tableRow(row, baseline))],
    verdicts: [
      ...rows
        .filter(({ name }) => name in bars)
        .map(({ name, ratio }) => ({ measure: `throughput of ${name} to ${baseline}`, bar: bars[name], ...ratio })),
      ...Object.entries(cpuBars).map(([name, bar]) => ({
        measure: `client CPU of ${name} to ${baseline}`,
        bar,
        ...judge(ratios(name, 'cpuMicros'), bar),
      })),
      ...Object.entries(microsBars).map(([name, bar]) => ({
        measure: `client CPU of ${name}, in us`,
        bar,
        ...judge(
          slices[name].map(({ cpuMicros }) => cpuMicros),
          bar,
        ),
      })),
    ],
  };
}

/** The list begins with another name each time, and runs backwards in every second cycle: nobody always comes right after the same other one. */
export function startingWith(round, names) {
  const from = round % names.length;
  const turned = [...names.slice(from), ...names.slice(0, from)];
  return Math.floor(round / names.length) % 2 === 0 ? turned : turned.reverse();
}

function medians(slices) {
  const figure = (name) => median(slices.map((slice) => slice[name]));
  return Object.fromEntries(Object.keys(slices[0]).map((name) => [name, figure(name)]));
}

function tableRow({ name, ratio, figures, costs }, baseline) {
  return {
    contender: name,
    'per second': Math.round(figures.perSecond),
    ratio:
      name === baseline ? '1' : `${ratio.median.toFixed(2)}x (${ratio.lower.toFixed(2)} - ${ratio.upper.toFixed(2)})`,
    'client CPU': `${figures.cpuMicros.toFixed(1)} us`,
    'server CPU': `${figures.serverCpuMicros.toFixed(1)} us`,
    'messages sent': costs.messages,
    'run in scripts': costs.inScripts,
    'bytes out / in': costs.bytes,
    'writes / reads':
      figures.writes === undefined ? 'unknown' : `${figures.writes.toFixed(2)} / ${figures.reads.toFixed(2)}`,
  };
}
