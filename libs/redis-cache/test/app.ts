import { jest } from '@jest/globals';
import type { INestApplicationContext, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  getRedisConnectionToken,
  RedisModule,
  type RedisConnection,
  type RedisModuleOptions,
} from '@redstart/redis-core';
import { Redis } from 'ioredis';
import { CacheService, RedisCacheModule, type CacheModuleOptions } from '../src/index.js';
import { gate } from './gate.js';
import { heardElsewhere, withNearTier } from './near-barrier.js';

export { gate, type Gate } from './gate.js';

export type Connection = Omit<RedisModuleOptions, 'namespace'>;

/** An application with one cache: a process of its own, as far as the library can tell. */
export interface CacheApp extends AsyncDisposable {
  readonly context: INestApplicationContext;
  readonly cache: CacheService;
}

/** No Redis, for applications that must not boot: nobody could close what a failed boot has opened, so this one tries once and ends by itself. */
export function nowhere(): Connection {
  const client = new Redis({ port: 1, lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => undefined); // or ioredis prints it
  return { client, startup: 'lazy' };
}

/**
 * Budgets and leases that no machine is too slow for. A spec that is about them has its own. The near tier has specs of its own, too: what the others say of
 * commands and of Redis is said without it. `REDSTART_NEAR=on` turns it on for all that do not choose.
 */
const patient = {
  budget: '10s',
  lease: '60s',
  near: withNearTier ? { maxLag: '1m' } : false,
} as const satisfies CacheModuleOptions;

export async function startCache(
  connection: Connection,
  options: CacheModuleOptions = {},
  { imports = [], ...metadata }: ModuleMetadata = {},
): Promise<CacheApp> {
  const module = await Test.createTestingModule({
    imports: [
      RedisModule.forRoot({ namespace: 'shop', ...connection }),
      RedisCacheModule.forRoot({ ...patient, ...options }),
      ...imports,
    ],
    ...metadata,
  }).compile();
  const context = await module.init();
  const { client } = context.get<RedisConnection>(getRedisConnectionToken());
  const cache = heardElsewhere(context.get(CacheService), client);
  return { context, cache, [Symbol.asyncDispose]: () => context.close() };
}

/** A stopwatch that stands still while this process does, as on a machine that stalls: a budget can be told from it all the same. */
export interface OwnTime extends Disposable {
  readonly ms: number;
}

export function ownTime(): OwnTime {
  const every = 10;
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), every);
  return {
    get ms() {
      return ticks * every;
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
    },
  };
}

/** Calls to Redis that stand still. */
export interface HeldCalls extends Disposable {
  /** How many are held, or were. */
  readonly count: number;
  /** How many have gone on and been answered. */
  readonly answered: number;
  release(): void;
}

/**
 * Holds the calls of one operation (or several) of an application until they are released: its requests before they are sent, or the replies that have
 * arrived. What happens meanwhile happens in between for certain.
 */
export function hold({ context }: CacheApp, what: 'requests' | 'replies', ...operations: string[]): HeldCalls {
  const connection = context.get<RedisConnection>(getRedisConnectionToken());
  const send = connection.call.bind(connection);
  const released = gate();
  let count = 0;
  let answered = 0;
  const halt = async () => {
    count += 1;
    await released.opened;
  };
  const spy = jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
    if (!operations.includes(call.operation)) return send(call, ...rest);
    if (what === 'requests') await halt();
    const reply = await send(call, ...rest);
    if (what === 'replies') await halt();
    answered += 1;
    return reply;
  });
  const release = () => {
    spy.mockRestore();
    released.open();
  };
  return {
    get count() {
      return count;
    },
    get answered() {
      return answered;
    },
    release,
    [Symbol.dispose]: release,
  };
}

/** The operations of all calls to Redis that an application makes until some work is done. */
export async function callsOf({ context }: CacheApp, work: () => Promise<unknown>): Promise<string[]> {
  const connection = context.get<RedisConnection>(getRedisConnectionToken());
  const spy = jest.spyOn(connection, 'call');
  await work();
  const operations = spy.mock.calls.map(([{ operation }]) => operation);
  spy.mockRestore();
  return operations;
}
