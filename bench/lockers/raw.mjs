import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

/**
 * What one writes by hand, as the manual of Redis shows it: SET NX PX with a value of its own, and a script that deletes the key if it still has that value. No
 * fencing, no renewal, no notice of a loss.
 *
 * Waiting is asking again, every 10 ms on average.
 */
export async function openRaw(url) {
  const redis = new Redis(url);
  redis.defineCommand('releaseLock', {
    numberOfKeys: 1,
    lua: `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`,
  });
  return {
    /** @returns {Promise<() => Promise<unknown>>} gives the lock back */
    async acquire(key) {
      const token = randomUUID();
      while ((await redis.set(`raw:${key}`, token, 'PX', 30_000, 'NX')) === null) await pause();
      return () => redis.releaseLock(`raw:${key}`, token);
    },
    pause,
    async close() {
      redis.disconnect();
    },
  };
}

/**
 * The shortest interval of the libraries that poll (redis-semaphore's default); the others' 100 to 200 ms make a herd many times slower. Spread out by half of it
 * either way, since callers that come together would otherwise ask together each time, and all but one in vain.
 */
const pollEveryMs = 10;
const pause = () => sleep(pollEveryMs * (0.5 + Math.random()));
