import { startingWith } from './compare.mjs';
import { countedCosts } from './operation-costs.mjs';
import { judge, median } from './statistics.mjs';

/**
 * A way to do a piece of work that says itself how many operations it was.
 *
 * @typedef {object} Contender
 * @property {() => Promise<void>} [prepare] what has to be there before; nobody times it
 * @property {() => Promise<{ count: number } & Record<string, number>>} work further figures of it are kept beside the throughput
 */

/**
 * Compares pieces of work as `compare` compares single operations: every round has one slice of each contender, each round begins with another one, and only ratios
 * within a round count. The first contender is what the others are compared with.
 *
 * @param {object} bench
 * @param {Record<string, Contender>} bench.contenders
 * @param {{ contender: string, to?: string, figure?: string, bar: { atLeast: number } | { atMost: number } }[]} bench.bars `figure` is the throughput unless it is named
 * @param {(medians: Record<string, number>) => Record<string, string | number>} [bench.columns] of figures that are its own
 * @returns {Promise<import('./report.mjs').Section>}
 */
export async function compareWork({
  title,
  text,
  contenders,
  bars,
  counters,
  rounds,
  figure = 'perSecond',
  columns = () => ({}),
}) {
  const names = Object.keys(contenders);
  const slices = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) await slice(contenders[name], counters);
  for (let round = 0; round < rounds; round += 1) {
    for (const name of startingWith(round, names)) slices[name].push(await slice(contenders[name], counters));
  }
  const [baseline] = names;
  const ratios = (name, to, of) => slices[name].map((one, round) => one[of] / slices[to][round][of]);
  const rows = [];
  for (const name of names) {
    const { work, prepare } = contenders[name];
    const costs = await countedCosts(work, counters, prepare);
    const ratio = judge(ratios(name, baseline, figure));
    rows.push(rowOf(name, { ratio: name === baseline ? undefined : ratio, slices: slices[name], costs, columns }));
  }
  return {
    title,
    text,
    tables: [rows],
    verdicts: bars.map(({ contender, to = baseline, figure: of = figure, bar }) => ({
      measure: `${of === 'perSecond' ? 'throughput' : of} of ${contender} to ${to}`,
      bar,
      ...judge(ratios(contender, to, of), bar),
    })),
  };
}

async function slice({ prepare, work }, counters) {
  await prepare?.();
  const serverBefore = await counters.cpuMicros();
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const { count, ...figures } = await work();
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    ...figures,
    perSecond: count / seconds,
    cpuMicros: (user + system) / count,
    serverCpuMicros: ((await counters.cpuMicros()) - serverBefore) / count,
  };
}

function rowOf(name, { ratio, slices, costs, columns }) {
  const medians = Object.fromEntries(
    Object.keys(slices[0]).map((figure) => [figure, median(slices.map((one) => one[figure]))]),
  );
  return {
    contender: name,
    'per second': Math.round(medians.perSecond),
    ratio:
      ratio === undefined ? '1' : `${ratio.median.toFixed(2)}x (${ratio.lower.toFixed(2)} - ${ratio.upper.toFixed(2)})`,
    ...columns(medians),
    'client CPU': `${medians.cpuMicros.toFixed(1)} us`,
    'server CPU': `${medians.serverCpuMicros.toFixed(1)} us`,
    'commands sent': costs.messages,
    // Their sum: a queue's scripts run two dozen different ones.
    'run in scripts': costs.inScripts.split(':')[0],
    'bytes out / in': costs.bytes,
  };
}
