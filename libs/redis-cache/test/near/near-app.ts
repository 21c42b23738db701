import type { CacheModuleOptions } from '../../src/index.js';
import { eventually } from '@redstart/redis-testing';
import { startCache, type CacheApp, type Connection } from '../app.js';

/** Trusts for so long that no machine is too slow; the specs that are about the bound have their own. */
export function startNear(
  connection: Connection,
  { near, ...options }: Omit<CacheModuleOptions, 'near'> & { near?: Exclude<CacheModuleOptions['near'], boolean> } = {},
): Promise<CacheApp> {
  return startCache(connection, { jitter: 0, near: { maxLag: '1m', ...near }, ...options });
}

export const patience = { within: 30_000 };

/** Reads until the near tier answers: from then on it holds the value. */
export async function warm({ cache }: CacheApp, read: () => Promise<unknown>): Promise<void> {
  await eventually(async () => {
    const { nearHits } = cache.stats();
    await read();
    return cache.stats().nearHits > nearHits;
  }, patience);
}

/** What a read gets, and whether the near tier had it. */
export async function readBy<T>({ cache }: CacheApp, read: () => Promise<T>): Promise<{ value: T; near: boolean }> {
  const { nearHits } = cache.stats();
  const value = await read();
  return { value, near: cache.stats().nearHits > nearHits };
}
