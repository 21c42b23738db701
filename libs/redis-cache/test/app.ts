import type { INestApplicationContext, ModuleMetadata } from '@nestjs/common';
import { RedisModule, type RedisModuleOptions } from '@redstart/redis-core';
import { Test } from '@nestjs/testing';
import { CacheService, RedisCacheModule, type CacheModuleOptions } from '../src/index.js';

export type Connection = Omit<RedisModuleOptions, 'namespace'>;

/** An application with one cache: a process of its own, as far as the library can tell. */
export interface CacheApp extends AsyncDisposable {
  readonly context: INestApplicationContext;
  readonly cache: CacheService;
}

export async function startCache(
  connection: Connection,
  options: CacheModuleOptions = {},
  { imports = [], ...metadata }: ModuleMetadata = {},
): Promise<CacheApp> {
  const module = await Test.createTestingModule({
    imports: [RedisModule.forRoot({ namespace: 'shop', ...connection }), RedisCacheModule.forRoot(options), ...imports],
    ...metadata,
  }).compile();
  const context = await module.init();
  return { context, cache: context.get(CacheService), [Symbol.asyncDispose]: () => context.close() };
}

/** A promise and the functions that settle it. */
export interface Gate<T> {
  readonly opened: Promise<T>;
  open(value: T): void;
}

export function gate<T = void>(): Gate<T> {
  let open: (value: T) => void = () => undefined;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
