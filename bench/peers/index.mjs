import { Redis } from 'ioredis';
import { load } from './load.mjs';
import { lockerVersions } from './versions.mjs';

const ttl = 30_000;
/** Whoever waits is to get its turn in the end, as with everybody else here; how soon it asks again is left to the library. */
const patience = 1_000_000;

/** @type {Record<string, (redis: Redis, name: string) => Promise<import('../lockers/index.mjs').Locker['acquire']>>} */
const ways = {
  redlock: redlock('default'),
  '@sesamecare-oss/redlock': redlock('Redlock'),

  async 'redis-semaphore'(redis, name) {
    const { Mutex } = await load(name);
    return async (key) => {
      const mutex = new Mutex(redis, key, { lockTimeout: ttl, acquireTimeout: patience });
      await mutex.acquire();
      return () => mutex.release();
    };
  },

  async 'redlock-universal'(redis, name) {
    const { createLock, IoredisAdapter } = await load(name);
    const adapter = new IoredisAdapter(redis);
    return async (key) => {
      const lock = createLock({ adapter, key, ttl, retryAttempts: patience });
      const handle = await lock.acquire();
      return () => lock.release(handle);
    };
  },
};

function redlock(exported) {
  return async (redis, name) => {
    const { [exported]: Redlock } = await load(name);
    const locks = new Redlock([redis], { retryCount: patience });
    return async (key) => {
      const lock = await locks.acquire([key], ttl);
      return () => lock.release();
    };
  };
}

export const peerLockers = Object.entries(lockerVersions).map(([name, version]) => `${name} ${version}`);

/** @param {string} nameAndVersion one of `peerLockers` @param {string} url @returns {Promise<import('../lockers/index.mjs').Locker>} */
export async function openPeer(nameAndVersion, url) {
  const name = nameAndVersion.slice(0, nameAndVersion.lastIndexOf(' '));
  // The client of the workspace for everybody, so that libraries are compared and not clients.
  const redis = new Redis(url);
  const acquire = await ways[name](redis, name);
  return {
    acquire: (key) => acquire(`${name}:${key}`),
    close: async () => {
      redis.disconnect();
    },
  };
}
