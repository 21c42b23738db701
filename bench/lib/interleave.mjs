/**
 * Compares ways to do the same work, fairly on a noisy machine: every round runs one slice of each, in turn, in changing order,
 * and only ratios within a round count.
 */

/** Runs `concurrency` loops of `operation` for `ms` and returns operations per second and client CPU per operation. */
async function slice(operation, concurrency, ms) {
  let count = 0;
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const until = startedAt + ms;
  const loop = async () => {
    while (performance.now() < until) {
      await operation(count);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  return { perSecond: count / seconds, cpuMicros: (cpu.user + cpu.system) / count };
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

/**
 * @param {{ name: string, concurrency: number, rounds?: number, sliceMs?: number, bar: number, raw: () => Promise<unknown>, ours: () => Promise<unknown> }} bench
 * @returns the row that the report prints; `passed` follows the rule: median at or above the bar, lower quartile above 0.95 of it
 */
export async function interleave({ name, concurrency, rounds = 11, sliceMs = 250, bar, raw, ours }) {
  await slice(raw, concurrency, sliceMs);
  await slice(ours, concurrency, sliceMs);
  const ratios = [];
  const cpuRatios = [];
  const rates = { raw: [], ours: [] };
  for (let round = 0; round < rounds; round += 1) {
    const order = round % 2 === 0 ? ['raw', 'ours'] : ['ours', 'raw'];
    const result = {};
    for (const who of order) result[who] = await slice(who === 'raw' ? raw : ours, concurrency, sliceMs);
    ratios.push(result.ours.perSecond / result.raw.perSecond);
    cpuRatios.push(result.ours.cpuMicros / result.raw.cpuMicros);
    rates.raw.push(result.raw.perSecond);
    rates.ours.push(result.ours.perSecond);
  }
  for (const list of [ratios, cpuRatios, rates.raw, rates.ours]) list.sort((a, b) => a - b);
  const median = quantile(ratios, 0.5);
  const lower = quantile(ratios, 0.25);
  return {
    name,
    concurrency,
    bar,
    median,
    lower,
    upper: quantile(ratios, 0.75),
    cpu: quantile(cpuRatios, 0.5),
    rawPerSecond: quantile(rates.raw, 0.5),
    oursPerSecond: quantile(rates.ours, 0.5),
    passed: median >= bar && lower > 0.95 * bar,
  };
}

/** Prints rows as a table; figures are ratios to raw ioredis in the same run. */
export function report(rows) {
  console.table(
    rows.map((row) => ({
      work: row.name,
      'in flight': row.concurrency,
      bar: `>= ${row.bar}x`,
      median: `${row.median.toFixed(2)}x`,
      quartiles: `${row.lower.toFixed(2)} - ${row.upper.toFixed(2)}`,
      'client CPU': `${row.cpu.toFixed(2)}x`,
      'raw /s': Math.round(row.rawPerSecond),
      'ours /s': Math.round(row.oursPerSecond),
      verdict: row.passed ? 'pass' : 'MISSED',
    })),
  );
}
