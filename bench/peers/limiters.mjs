import { Redis } from 'ioredis';
import { load } from './load.mjs';
import { limiterVersions } from './versions.mjs';

/** @type {Record<string, { Client?: () => Promise<typeof Redis>, open: (redis: Redis, law: { limit: number, windowMs: number }) => Promise<(key: string) => Promise<unknown>> }>} */
const ways = {
  /** A fixed window. Asked to remember denials, which it does not do by itself. */
  'rate-limiter-flexible': {
    async open(redis, { limit, windowMs }) {
      const { RateLimiterRedis, RateLimiterRes } = await load('rate-limiter-flexible');
      const limiter = new RateLimiterRedis({
        storeClient: redis,
        points: limit,
        duration: windowMs / 1_000,
        inMemoryBlockOnConsumed: limit,
      });
      return async (key) => {
        try {
          return await limiter.consume(key);
        } catch (denial) {
          if (denial instanceof RateLimiterRes) return denial;
          throw denial;
        }
      };
    },
  },

  /** A fixed window that goes on counting what it denies. Asked as the guard of @nestjs/throttler asks it. */
  '@nest-lab/throttler-storage-redis': {
    /** It recognizes only clients of the ioredis beside it: the same version, in another place. */
    Client: async () => (await load('ioredis')).Redis,
    async open(redis, { limit, windowMs }) {
      const { ThrottlerStorageRedisService } = await load('@nest-lab/throttler-storage-redis');
      const storage = new ThrottlerStorageRedisService(redis);
      return (key) => storage.increment(key, windowMs, limit, windowMs, 'default');
    },
  },
};

export const peerLimiters = Object.entries(limiterVersions).map(([name, version]) => `${name} ${version}`);

/** @param {string} nameAndVersion one of `peerLimiters` @returns {Promise<import('../limiters/index.mjs').Limiter>} */
export async function openPeerLimiter(nameAndVersion, url, law) {
  const name = nameAndVersion.slice(0, nameAndVersion.lastIndexOf(' '));
  const { Client = () => Redis, open } = ways[name];
  // One version of the client for everybody, that of the workspace, so that libraries are compared and not clients.
  const redis = new (await Client())(url);
  const consume = await open(redis, law);
  return {
    consume: (key) => consume(`${name}:${key}`),
    close: async () => {
      redis.disconnect();
    },
  };
}
