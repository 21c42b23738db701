import type { Clock } from '@redstart/redis-core';

/** Waits, but no longer than until the signal aborts. Never rejects. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = () => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal.addEventListener('abort', done);
  });
}

const firstMs = 50;
const longestMs = 2_000;

/** Exponential, half of it random: 25 to 50 ms after the first failure, 1 to 2 s at most. */
export function backoffMs(failures: number): number {
  const ceiling = Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 10));
  return Math.ceil(ceiling / 2 + Math.random() * (ceiling / 2));
}
