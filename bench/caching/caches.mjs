import { setTimeout as sleep } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import { CacheService, RedisCacheModule } from '@redstart/redis-cache';
import { RedisModule } from '@redstart/redis-core';

/** What the others are compared with: GET and JSON.parse, SET and JSON.stringify. */
export const baseline = 'plain ioredis';

/**
 * A cache as a Nest application gets it, with the defaults of the module beside `options` and the budget: breaker on, telemetry without a listener.
 *
 * @param {string} url
 * @param {import('@redstart/redis-cache').CacheOptions} options
 * @returns {Promise<{ cache: CacheService, close: () => Promise<void> }>}
 */
export async function openCache(url, options = {}) {
  const app = await NestFactory.createApplicationContext(
    {
      module: class App {},
      // Nothing is to time out on a machine that has much to do; nothing gets slower or faster by it.
      imports: [
        RedisModule.forRoot({ namespace: 'bench', url }),
        RedisCacheModule.forRoot({ budget: '10s', ...options }),
      ],
    },
    { logger: ['error', 'warn'] },
  );
  return { cache: app.get(CacheService), close: () => app.close() };
}

/** A flight as an API answers it: objects in arrays in objects, `bytes` as JSON, which the cache does not pack up to 1,023. */
export function flight(number, bytes = 1_000) {
  const value = {
    id: `flight-${number}`,
    from: 'ZRH',
    to: 'JFK',
    departure: '2026-11-21T10:00:00Z',
    seats: 180 + number,
    price: 423.5,
    bookable: true,
    legs: Array.from({ length: 4 }, (_, leg) => ({
      number: `LX${leg}`,
      from: 'ZRH',
      to: 'JFK',
      minutes: 95 + leg,
      aircraft: { type: 'A320neo', seats: { economy: 150, business: 30 } },
      cabins: ['economy', 'business'],
    })),
    notes: '',
  };
  value.notes = text(Math.max(0, bytes - JSON.stringify(value).length));
  return value;
}

/** Not the same letter over and over, which would be packed away. */
function text(length) {
  return Array.from({ length }, (_, at) => String.fromCharCode(97 + (((at * 7919) % 104729) % 26))).join('');
}

/** Reads until the near tier answers for every key. */
export async function warm(cache, keys) {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const { nearHits } = cache.stats();
    for (const key of keys) await cache.get(key);
    if (cache.stats().nearHits - nearHits === keys.length) return;
    await sleep(50);
  }
  throw new Error('The near tier does not answer.');
}
