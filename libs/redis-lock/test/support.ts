import type { DynamicModule, INestApplicationContext, Provider, Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { RedisModule, type RedisClient, type RedisModuleOptions } from '@redstart/redis-core';
import { RedisLockModule, LockService, type RedisLockOptions } from '../src/index.js';

type Target = Omit<RedisModuleOptions, 'namespace'>;

/** One application with its own connection: what another host would be. */
export interface Host extends AsyncDisposable {
  readonly app: INestApplicationContext;
  readonly locks: LockService;
}

export async function startHost(
  target: Target,
  options: RedisLockOptions = {},
  providers: Provider[] = [],
): Promise<Host> {
  const imports: (Type | DynamicModule)[] = [
    RedisModule.forRoot({ namespace: 'shop', ...target }),
    // The budgets of the short ttls used here would be too tight for a busy machine, and so would ten seconds for a long queue.
    RedisLockModule.forRoot({ commandTimeout: '5s', waitTimeout: '60s', ...options }),
  ];
  const app = await Test.createTestingModule({ imports, providers }).compile();
  await app.init();
  return { app, locks: app.get(LockService), [Symbol.asyncDispose]: () => app.close() };
}

/** A promise with its handles, for tests that decide themselves when something ends. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** Whether a promise has settled by now, without waiting for it. */
export function watch(promise: Promise<unknown>): { readonly settled: boolean } {
  const state = { settled: false };
  const settle = () => {
    state.settled = true;
  };
  promise.then(settle, settle);
  return state;
}

/** The event loop stands still. */
export function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('It did not reject.');
}

/** Makes a multi-lock with this key go the long way: somebody who is dead stands in its queue, and only the acquire script finds that out. */
export async function takenOneByOne(client: RedisClient, key: string): Promise<void> {
  await client.rpush(`shop:lock:{${key}}:queue`, `${'d'.repeat(22)}dead-host:1:abcdefgh`);
}
