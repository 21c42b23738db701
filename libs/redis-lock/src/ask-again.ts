import { RedisUnavailableError } from '@redstart/redis-core';

export interface Answer<T> {
  readonly answer: T;
  /** It is that of the second question. The first one may have been carried out, and then this one finds nothing left to do. */
  readonly repeated: boolean;
}

/** Asks once more when nobody knows whether the first question was carried out. @throws what the second one throws, or the first one that surely was not */
export async function askAgain<T>(send: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { answer: await send(), repeated: false };
  } catch (error) {
    if (!(error instanceof RedisUnavailableError) || error.outcome === 'not-executed') throw error;
    return { answer: await send(), repeated: true };
  }
}
