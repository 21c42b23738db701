import { z } from 'zod';

const count = z.int().min(0);

export const statsSchema = z.object({
  since: z.iso.datetime().meta({ description: 'When this process began to count' }),
  answers: z.record(z.string(), count).meta({
    description:
      'Answers to HTTP requests by status: a 429 is a denied search or booking, a 409 a seat that was refused',
  }),
  cache: z
    .object({
      hits: count,
      misses: count,
      loads: count,
      loadErrors: count,
      stores: count,
      staleLoads: count,
      unsupported: count,
      corrupt: count,
      errors: count,
    })
    .meta({ description: 'What CacheService counts' }),
  outbox: z
    .object({ published: count, repeated: count })
    .meta({ description: 'Messages that Redis has taken; of these, those that had been published before' }),
  operations: z.array(z.object({ library: z.string(), operation: z.string(), calls: count, failed: count })).meta({
    description: 'What each library has asked of Redis, sorted by name; those that failed are among the calls',
  }),
});

export type Stats = z.infer<typeof statsSchema>;
export type OperationCount = Stats['operations'][number];

export const statsExample: Stats = {
  since: '2026-03-01T12:00:00.000Z',
  answers: { 200: 60, 201: 1, 409: 3, 429: 12 },
  cache: {
    hits: 48,
    misses: 12,
    loads: 12,
    loadErrors: 0,
    stores: 12,
    staleLoads: 0,
    unsupported: 0,
    corrupt: 0,
    errors: 0,
  },
  outbox: { published: 2, repeated: 0 },
  operations: [
    { library: 'redis-cache', operation: 'cache.get', calls: 60, failed: 0 },
    { library: 'redis-lock', operation: 'lock.acquire', calls: 4, failed: 0 },
  ],
};
