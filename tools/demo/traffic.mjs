/** Ways of sending traffic for a while. */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Calls `work` again and again from several callers at the same time, until the time is over and it was called often enough.
 *
 * @param {{ callers: number, forMs: number, atLeast?: number, pauseMs?: number }} options
 * @param {(index: number) => Promise<unknown>} work gets the number of its call
 */
export async function keepCalling({ callers, forMs, atLeast = 0, pauseMs = 10 }, work) {
  const until = performance.now() + forMs;
  let calls = 0;
  const caller = async () => {
    while (performance.now() < until || calls < atLeast) {
      await work(calls++);
      await sleep(pauseMs);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

/** @returns {Promise<boolean>} whether `holds` answered true in time */
export async function becomesTrue(holds, { withinMs, everyMs = 50 }) {
  const until = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > until) return false;
    await sleep(everyMs);
  }
  return true;
}
