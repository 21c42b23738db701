import { systemCalls } from './system-calls.mjs';

/**
 * Runs `concurrency` loops of `operation` for `ms`.
 *
 * @param {(number: number) => Promise<unknown>} operation gets a number of its own each time, so that two in flight need not share a key
 * @returns what one operation took of this process: `cpuMicros`, and with `systemCalls` where the platform counts them, `reads` and `writes`
 */
export async function runSlice(operation, { concurrency, ms }) {
  let count = 0;
  const callsBefore = systemCalls();
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const until = startedAt + ms;
  const loop = async () => {
    while (performance.now() < until) {
      count += 1;
      await operation(count);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const calls = systemCalls();
  return {
    count,
    perSecond: count / seconds,
    cpuMicros: (cpu.user + cpu.system) / count,
    ...(calls && {
      reads: (calls.reads - callsBefore.reads) / count,
      writes: (calls.writes - callsBefore.writes) / count,
    }),
  };
}
