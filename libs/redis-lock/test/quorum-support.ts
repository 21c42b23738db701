import { Test } from '@nestjs/testing';
import { RedisModule, type RedisModuleOptions } from '@redstart/redis-core';
import { eventually, FaultProxy, RedisServer } from '@redstart/redis-testing';
import { LockService, RedisLockModule, type RedisLockOptions } from '../src/index.js';
import type { Host } from './support.js';

const letters = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
/** The names of the connections: `lock-a`, `lock-b` … */
export const nodeNames = (count: number): string[] => letters.slice(0, count).map((letter) => `lock-${letter}`);

/** One application with a connection to each node. */
export async function startQuorumHost(
  nodes: readonly { readonly url: string }[],
  options: RedisLockOptions = {},
  connection: Partial<RedisModuleOptions> = {},
): Promise<Host> {
  const names = nodeNames(nodes.length);
  const imports = [
    ...nodes.map(({ url }, index) =>
      // Lazy, as the README advises: an application boots although a minority is down.
      RedisModule.forRoot({ startup: 'lazy', ...connection, name: names[index] ?? '', namespace: 'shop', url }),
    ),
    // A node that answers late only because the machine is busy would count as down.
    RedisLockModule.forRoot({ nodes: names, commandTimeout: '1s', ...options }),
  ];
  const app = await Test.createTestingModule({ imports }).compile();
  await app.init();
  return { app, locks: app.get(LockService), [Symbol.asyncDispose]: () => app.close() };
}

/** Independent servers, a quorum of nodes for the tests of one file. */
export class Nodes implements AsyncDisposable {
  private constructor(readonly servers: readonly RedisServer[]) {}

  static async start(count: number): Promise<Nodes> {
    return new Nodes(await Promise.all(Array.from({ length: count }, () => RedisServer.start())));
  }

  /** What each node has at a key, in their order. */
  get(key: string): Promise<(string | null)[]> {
    return Promise.all(this.servers.map((server) => server.ask((redis) => redis.get(key))));
  }

  /** At how many nodes this token holds the key. */
  async holding(key: string, token: string): Promise<number> {
    return (await this.get(key)).filter((owner) => owner?.startsWith(token) === true).length;
  }

  pttl(key: string): Promise<number[]> {
    return Promise.all(this.servers.map((server) => server.ask((redis) => redis.pttl(key))));
  }

  /** Every key but the fencing tokens, which outlive the lock. */
  async keys(): Promise<string[]> {
    const found = await Promise.all(this.servers.map((server) => server.ask((redis) => redis.keys('*'))));
    return found.flat().filter((key) => !key.endsWith(':fence'));
  }

  async flush(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.flush()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}

/** A proxy in front of each node, for one host. */
export class Proxies implements AsyncDisposable {
  private constructor(readonly all: readonly FaultProxy[]) {}

  static async start(nodes: Nodes): Promise<Proxies> {
    return new Proxies(await Promise.all(nodes.servers.map((server) => FaultProxy.start(server))));
  }

  /** The one in front of a node, from 0. */
  at(index: number): FaultProxy {
    const proxy = this.all[index];
    if (proxy === undefined) throw new RangeError(`There is no node ${index}.`);
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((proxy) => proxy.stop()));
  }
}

/** One host behind proxies of its own, connected; nothing of what it took for that is still on its way. */
export async function behindProxies(nodes: Nodes, options: RedisLockOptions = {}) {
  const proxies = await Proxies.start(nodes);
  const host = await startQuorumHost(proxies.all, options, { startup: 'wait' });
  // Where a budget is short, the first connections of a busy machine may not keep it.
  const warmUp = await eventually(() => host.locks.acquire('warm-up'), { within: 30_000 });
  // At each node, then at none: a majority alone would leave a release behind that reaches the last node when the test has begun.
  await eventually(async () => {
    expect(await nodes.holding('shop:lock:{warm-up}', warmUp.token)).toBe(nodes.servers.length);
  });
  await warmUp.release();
  await eventually(async () => {
    expect(await nodes.keys()).toEqual([]);
  });
  return {
    host,
    proxies,
    [Symbol.asyncDispose]: async () => {
      await host.app.close();
      await proxies[Symbol.asyncDispose]();
    },
  };
}

/** How long something takes at most. */
export async function timed<T>(work: Promise<T>): Promise<{ result: T; ms: number }> {
  const since = performance.now();
  return { result: await work, ms: performance.now() - since };
}
