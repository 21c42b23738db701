import { OptionsError, RedisCommandError, type RedisConnection } from '@redstart/redis-core';
import { CacheKeys } from './keys.js';
import type { CacheStore } from './store/cache-store.js';

/**
 * Refuses to start an application whose user of Redis may not do what a cache does: it would run on without one, and only its log would tell.
 *
 * An outage is no such reason, and with `startup: 'lazy'` nobody waits for the connection.
 *
 * @throws OptionsError
 */
export async function checkPermissions(
  connection: RedisConnection,
  store: CacheStore,
  keys: CacheKeys,
  name: string,
): Promise<void> {
  if (connection.client.status !== 'ready') return;
  try {
    await store.probe(keys.entry(['boot check', process.pid]), keys.version);
  } catch (error) {
    if (!(error instanceof RedisCommandError)) return;
    throw new OptionsError(
      name === 'default' ? 'RedisCacheModule' : `RedisCacheModule "${name}"`,
      `Redis refuses what a cache needs: ${error.message} Check the permissions of its user: the keys and channels of its namespace, and the commands of the README.`,
      { cause: error },
    );
  }
}
