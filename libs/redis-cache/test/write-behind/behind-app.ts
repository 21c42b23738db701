import { jest } from '@jest/globals';
import { RedisStreamsModule, type RedisStreamsOptions } from '@redstart/redis-streams';
import { defineCache, getDefinedCacheToken, RedisCacheModule, type DefinedCache } from '../../src/index.js';
import {
  getWriteBehindToken,
  WriteBehindModule,
  type WriteBehind,
  type WriteBehindOptions,
  type WrittenBehind,
} from '../../src/write-behind/index.js';
import { startCache, type CacheApp, type Connection } from '../app.js';

export const flights = defineCache<string, number>('flights', { key: (id) => id, ttl: '10m' });

export type Written = WrittenBehind<string, number>;

/** What would be a database: shared by the processes of a test. */
export class Store {
  readonly rows = new Map<string, number>();
  readonly load = jest.fn((id: string): number | Promise<number> => this.rows.get(id) ?? -1);
  readonly writeMany = jest.fn(async (values: readonly Written[]): Promise<void> => {
    await Promise.resolve();
    this.take(values);
  });
  /** Each value that was taken, in order. */
  readonly taken: Written[] = [];

  take(values: readonly Written[]): void {
    this.taken.push(...values);
    for (const { id, value } of values) this.rows.set(id, value);
  }
}

export interface BehindApp extends CacheApp {
  readonly flights: DefinedCache<string, number>;
  readonly behind: WriteBehind<string, number>;
}

export interface BehindOptions extends WriteBehindOptions {
  readonly streams?: Partial<RedisStreamsOptions>;
}

/** Waits that no machine is too slow for; what is taken over from another process is so soon. */
const patient = { service: 'test', minIdle: '1s', claimInterval: 100, block: 100, publishTimeout: '10s' } as const;

export async function startBehind(
  connection: Connection,
  store: Store,
  { streams = {}, ...options }: BehindOptions = {},
): Promise<BehindApp> {
  const feature = RedisCacheModule.forFeature([{ cache: flights, useFactory: () => ({ load: store.load }) }]);
  const app = await startCache(
    connection,
    // What another process has written is seen at once, without waiting for a message.
    { near: false },
    {
      imports: [
        RedisStreamsModule.forRoot({ ...patient, ...streams }),
        feature,
        WriteBehindModule.forFeature([
          {
            cache: flights,
            imports: [feature],
            useFactory: () => ({ writeMany: store.writeMany }),
            maxWait: 20,
            budget: '10s',
            ...options,
          },
        ]),
      ],
    },
  );
  return {
    ...app,
    flights: app.context.get<DefinedCache<string, number>>(getDefinedCacheToken(flights), { strict: false }),
    behind: app.context.get<WriteBehind<string, number>>(getWriteBehindToken(flights), { strict: false }),
  };
}
