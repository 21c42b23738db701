import { ThrottlerModule, type ThrottlerModuleOptions, type ThrottlerStorage } from '@nestjs/throttler';
import { getThrottlerStorageToken, RedisThrottlerStorage, type ThrottlerRecord } from '../../src/index.js';

type ThrottlerStorageRecord = Awaited<ReturnType<ThrottlerStorage['increment']>>;

/** Ours is theirs, member by member, without importing it. */
export const storage = (ours: RedisThrottlerStorage): ThrottlerStorage => ours;
export const record = (ours: ThrottlerRecord): ThrottlerStorageRecord => ours;
export const recordOfTheirs = (theirs: ThrottlerStorageRecord): ThrottlerRecord => theirs;
export const parameters = (
  ...theirs: Parameters<ThrottlerStorage['increment']>
): Parameters<RedisThrottlerStorage['increment']> => theirs;

export const registered = [
  ThrottlerModule.forRootAsync({
    inject: [RedisThrottlerStorage],
    useFactory: (shared: RedisThrottlerStorage): ThrottlerModuleOptions => ({
      throttlers: [{ limit: 100, ttl: 60_000 }],
      storage: shared,
    }),
  }),
  ThrottlerModule.forRootAsync({
    inject: [getThrottlerStorageToken('edge')],
    useFactory: (shared: RedisThrottlerStorage) => ({ throttlers: [], storage: shared }),
  }),
];

// @ts-expect-error a storage that answers otherwise is none
export const wrong: ThrottlerStorage = { increment: () => Promise.resolve({ totalHits: 1 }) };
