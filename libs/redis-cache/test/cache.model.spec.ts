import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { getRedisConnectionToken, RedstartError, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import fc from 'fast-check';
import { gate, startCache, type CacheApp, type Gate } from './app.js';

/** `CACHE_RUNS=500` for a long run. */
const runs = Number(process.env['CACHE_RUNS'] ?? 12);

const keys = ['a', 'b', 'c'] as const;
type Key = (typeof keys)[number];
/** Every key has its own tag, and one that it shares. */
const tagsOf = (key: Key) => [`only ${key}`, key === 'c' ? 'some' : 'most'];

const key = fc.constantFrom(...keys);
const service = fc.nat(2);
const change = fc.constantFrom('delete', 'own tag', 'shared tag', 'clear', 'mark', 'prefix');
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('load' as const), service, key, slow: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('get' as const), service, key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('set' as const), service, key }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('change' as const), service, key, how: change }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('finish' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('lose' as const),
      key,
      what: fc.constantFrom('value', 'tag', 'version', 'all'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reconnect' as const), service }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), service }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/**
 * The model: what the source holds for each key, a number that only rises, and the least of them that may still be served: the one of the last change that has been
 * acknowledged. Steps don't wait for the loads that are under way; those end when a `finish` comes, or at the end.
 */
class Run {
  readonly #source = new Map<Key, number>(keys.map((name) => [name, 0]));
  readonly #floor = new Map<Key, number>(keys.map((name) => [name, 0]));
  readonly #pending: Promise<void>[] = [];
  #loads: Gate<void>[] = [];

  constructor(
    private readonly apps: CacheApp[],
    private readonly namespace: string,
    private readonly restart: () => Promise<CacheApp>,
    private readonly lose: (redisKeys: string[] | 'all') => Promise<unknown>,
  ) {}

  async take(next: Step): Promise<void> {
    switch (next.do) {
      case 'load':
        this.#read(next.key, 'load', () =>
          this.#cache(next.service).getOrSet(next.key, () => this.#load(next), { tags: tagsOf(next.key) }),
        );
        // Whoever comes next may meet it on its way.
        return this.#breathe();
      case 'get':
        this.#read(next.key, 'get', () => this.#cache(next.service).get<number>(next.key));
        return;
      case 'set':
        return this.#change([next.key], () =>
          this.#cache(next.service).set(next.key, this.#source.get(next.key), { tags: tagsOf(next.key) }),
        );
      case 'change':
        return this.#changeBy(next);
      case 'finish':
        return this.finish();
      case 'lose':
        await this.lose(next.what === 'all' ? 'all' : [this.#redisKey(next.what, next.key)]);
        return;
      case 'reconnect':
        this.#connection(next.service).client.disconnect(true);
        return;
      case 'crash':
        await this.#crash(next.service);
    }
  }

  /** Ends all loads that are under way. */
  async finish(): Promise<void> {
    for (let turn = 0; turn < 20 && this.#pending.length > 0; turn += 1) {
      for (const load of this.#loads.splice(0)) load.open();
      await this.#breathe();
    }
  }

  async end(): Promise<void> {
    const ended = Promise.allSettled(this.#pending);
    const progress = { over: false };
    void ended.then(() => (progress.over = true));
    while (!progress.over) {
      for (const load of this.#loads.splice(0)) load.open();
      await this.#breathe();
    }
    await Promise.all(this.#pending);
    for (const name of keys) {
      for (const { cache } of this.apps)
        this.#check(name, 'at the end', this.#floor.get(name) ?? 0, await cache.namespace(this.namespace).get(name));
    }
  }

  async #load({ key: name, slow }: { key: Key; slow: boolean }): Promise<number> {
    const read = this.#source.get(name) ?? 0;
    if (!slow) return read;
    const load = gate();
    this.#loads.push(load);
    await load.opened;
    return read;
  }

  #read(name: Key, what: string, read: () => Promise<number | undefined>): void {
    const floor = this.#floor.get(name) ?? 0;
    this.#pending.push(
      read().then(
        (value) => {
          this.#check(name, what, floor, value);
        },
        (error: unknown) => {
          throw new Error(`${what} of "${name}" failed`, { cause: error });
        },
      ),
    );
    this.#pending.at(-1)?.catch(() => undefined); // looked at in the end
  }

  #check(name: Key, what: string, floor: number, value: number | undefined): void {
    if (value !== undefined && value < floor) {
      throw new Error(`${what} of "${name}" gave ${value}, though ${floor} had been acknowledged`);
    }
  }

  async #changeBy({ service: by, key: name, how }: Extract<Step, { do: 'change' }>): Promise<void> {
    const cache = this.#cache(by);
    const [own = '', shared = ''] = tagsOf(name);
    const sharing = keys.filter((other) => tagsOf(other)[1] === shared);
    switch (how) {
      case 'delete':
        return this.#change([name], () => cache.delete(name));
      case 'own tag':
        return this.#change([name], () => cache.invalidateTags(own));
      case 'shared tag':
        return this.#change(sharing, () => cache.invalidateTags(shared));
      case 'clear':
        return this.#change(keys, () => cache.clear());
      case 'mark':
        return this.#change([name], () => cache.markStale(name));
      case 'prefix':
        return this.#change([name], () => cache.deleteByPrefix(name));
    }
  }

  /** The source first, then the cache; what has been acknowledged counts from then on. */
  async #change(names: readonly Key[], tellCache: () => Promise<unknown>): Promise<void> {
    for (const name of names) this.#source.set(name, (this.#source.get(name) ?? 0) + 1);
    const now = names.map((name) => [name, this.#source.get(name) ?? 0] as const);
    try {
      await tellCache();
    } catch (error) {
      if (!(error instanceof RedstartError)) throw error;
      return; // Not acknowledged.
    }
    for (const [name, value] of now) this.#floor.set(name, Math.max(this.#floor.get(name) ?? 0, value));
  }

  async #crash(index: number): Promise<void> {
    const app = this.apps[index];
    this.#connection(index).client.disconnect();
    this.apps[index] = await this.restart();
    await app?.[Symbol.asyncDispose]();
  }

  #redisKey(what: 'value' | 'tag' | 'version', name: Key): string {
    if (what === 'value') return `shop:cache:${this.namespace}:{${name}}`;
    return what === 'tag' ? `shop:cache:{only ${name}}:tag` : `shop:cache:${this.namespace}:version`;
  }

  #cache(index: number) {
    const app = this.apps[index];
    if (app === undefined) throw new TypeError('no such service');
    return app.cache.namespace(this.namespace);
  }

  #connection(index: number): RedisConnection {
    const app = this.apps[index];
    if (app === undefined) throw new TypeError('no such service');
    return app.context.get<RedisConnection>(getRedisConnectionToken());
  }

  #breathe(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}

describeOn(standalone, cluster)('any sequence of calls of three services', (redis) => {
  const apps: CacheApp[] = [];
  const start = () => startCache(redis.connection, { budget: '2s', lease: '1s', waitTimeout: '5s' });
  beforeAll(async () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    for (let index = 0; index < 3; index += 1) apps.push(await start());
  });
  afterAll(async () => {
    for (const app of apps) await app[Symbol.asyncDispose]();
    jest.restoreAllMocks();
  });

  it(
    'never serves a value that is older than the last change that was acknowledged before the call',
    async () => {
      let number = 0;
      const client = redis.client();
      const lose = (redisKeys: string[] | 'all') =>
        redisKeys === 'all' ? redis.flush() : Promise.all(redisKeys.map((name) => client.del(name)));
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), async (steps) => {
          number += 1;
          const run = new Run(apps, `run${number}`, start, lose);
          for (const next of steps) await run.take(next);
          await run.end();
        }),
        { numRuns: runs, endOnFailure: true },
      );
    },
    60_000 + runs * 5_000,
  );
});
