import type { Clock } from '@redstart/redis-core';

export interface Awaited {
  /** Never rejects. */
  readonly promise?: Promise<unknown>;
  /** Doesn't keep the process alive. */
  readonly ms?: number;
  readonly signal?: AbortSignal;
}

/** Resolves when the first of these has happened. Leaves no timer and no listener behind. */
export async function firstOf(clock: Clock, { promise, ms = Infinity, signal }: Awaited): Promise<void> {
  if (ms <= 0 || signal?.aborted === true) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.after(ms, end, { unref: true });
    signal?.addEventListener('abort', end);
    void promise?.then(end);
  });
}
