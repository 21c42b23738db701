import { AsyncLocalStorage } from 'node:async_hooks';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { gate, type CacheApp, type Gate } from './app.js';

/** One for all: each further one would make every promise dearer for as long as the process lives. */
const within = new AsyncLocalStorage<Stepper>();

/**
 * Runs one call of an application step by step: before each command that it sends to Redis, and wherever its loader says so, it stands still until the test lets it go
 * on. Whatever else happens in the application goes its own way.
 */
export class Stepper {
  readonly #waiting: Gate<void>[] = [];
  #changed: Gate<void> = gate();
  #done = true;
  readonly #restore: () => void;

  constructor({ context }: CacheApp) {
    const connection = context.get<RedisConnection>(getRedisConnectionToken());
    const call = connection.call.bind(connection);
    Object.defineProperty(connection, 'call', {
      configurable: true,
      value: async (...args: Parameters<typeof call>) => {
        if (within.getStore() === this && !this.#done && args[0].operation !== 'cache.renew') await this.pause();
        return call(...args);
      },
    });
    this.#restore = () => {
      Reflect.deleteProperty(connection, 'call');
    };
  }

  /** Starts a call, and resolves when it stands still for the first time. */
  async start<T>(work: () => Promise<T>): Promise<{ readonly result: Promise<T> }> {
    this.#done = false;
    const result = within.run(this, work).finally(() => {
      this.#done = true;
      this.#tell();
    });
    result.catch(() => undefined); // looked at later
    await this.#still();
    return { result };
  }

  /** For a loader. */
  async pause(): Promise<void> {
    const here = gate();
    this.#waiting.push(here);
    this.#tell();
    await here.opened;
  }

  /** Lets it take one step, and resolves when it stands still again, or has ended. @returns whether there was one to take */
  async step(): Promise<boolean> {
    const next = this.#waiting.shift();
    if (next === undefined) return false;
    next.open();
    await this.#still();
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (await this.step());
    this.#restore();
  }

  #tell(): void {
    this.#changed.open();
    this.#changed = gate();
  }

  /** Two commands may be sent at once: they wait at the same time, in the order in which they were sent. */
  async #still(): Promise<void> {
    while (this.#waiting.length === 0 && !this.#done) await this.#changed.opened;
  }
}

/** All ways to let two sequences of steps happen, each in its own order. */
export function interleavings(a: number, b: number): string[] {
  if (a === 0 || b === 0) return ['A'.repeat(a) + 'B'.repeat(b)];
  return [...interleavings(a - 1, b).map((rest) => `A${rest}`), ...interleavings(a, b - 1).map((rest) => `B${rest}`)];
}
