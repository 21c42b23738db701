import { UnrecoverableError } from '@redstart/redis-streams';

/**
 * Writes a batch, and what has failed in halves, down to single values: one that the store refuses keeps no other back.
 *
 * When so many writes in a row have failed as it takes to find a single refused value, the store seems to be down: the rest is not tried.
 *
 * @param write of some of them, all or nothing as far as anybody knows
 * @returns those that have not been written, with the error
 */
export async function writeInParts<T>(
  items: readonly T[],
  write: (some: readonly T[]) => Promise<void>,
): Promise<Map<T, unknown>> {
  const failed = new Map<T, unknown>();
  const mostInARow = Math.ceil(Math.log2(Math.max(1, items.length))) + 2;
  let inARow = 0;
  let lastError: unknown;
  const parts: (readonly T[])[] = items.length === 0 ? [] : [items];
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    if (inARow >= mostInARow) {
      for (const item of part) failed.set(item, notTried(lastError));
      continue;
    }
    try {
      await write(part);
      inARow = 0;
    } catch (error) {
      lastError = error;
      const [only, ...others] = part;
      // To be told that it will never take a value is an answer, too.
      inARow = others.length === 0 && error instanceof UnrecoverableError ? 0 : inARow + 1;
      if (others.length > 0) {
        const half = Math.ceil(part.length / 2);
        parts.push(part.slice(half), part.slice(0, half));
      } else if (only !== undefined) failed.set(only, error);
    }
  }
  return failed;
}

/** Nobody knows yet what is wrong with a single one of them, if anything is: it is to be tried again. */
function notTried(error: unknown): unknown {
  if (!(error instanceof UnrecoverableError)) return error;
  return new Error('The store has refused a batch of several values, and this one has not been tried alone yet.', {
    cause: error,
  });
}
