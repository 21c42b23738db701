import { jest } from '@jest/globals';
import { Injectable, Logger, type DynamicModule } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { OptionsError, RedisModule } from '@redstart/redis-core';
import { cluster, describeOn } from '@redstart/redis-testing';
import { LockService, RedisLockModule, WithLock, type RedisLockModuleOptions } from '../src/index.js';
import { nodeNames, Nodes } from './quorum-support.js';
import { failureOf } from './support.js';

describe('RedisLockModule.forRoot({ nodes })', () => {
  let nodes: Nodes;
  let warn: jest.SpiedFunction<Logger['warn']>;
  beforeAll(async () => {
    nodes = await Nodes.start(4);
  });
  afterAll(() => nodes[Symbol.asyncDispose]());
  beforeEach(() => {
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });
  afterEach(() => {
    warn.mockRestore();
  });

  const connections = (count: number, namespaces: readonly string[] = []) =>
    nodeNames(count).map((name, index) =>
      RedisModule.forRoot({ name, namespace: namespaces[index] ?? 'shop', url: nodes.servers[index]?.url ?? '' }),
    );
  const boot = (imports: DynamicModule[], providers: NonNullable<DynamicModule['providers']> = []) =>
    Test.createTestingModule({ imports, providers }).compile();
  const refusal = async (imports: DynamicModule[]) => String(await failureOf(boot(imports)));

  @Injectable()
  class Orders {
    runs = 0;
    @WithLock((id: string) => ['order', id], { onLocked: 'skip' })
    pay(_id: string): Promise<number> {
      return Promise.resolve((this.runs += 1));
    }
  }

  it('locks over the named connections, for decorators too, and needs no connection named default', async () => {
    const app = await boot(
      [RedisLockModule.forRoot({ nodes: nodeNames(3), ttl: '20s', commandTimeout: '5s' }), ...connections(3)],
      [Orders],
    );
    const locks = app.get(LockService);
    const lock = await locks.acquire(['order', '1']);
    expect(await nodes.holding('shop:lock:{order:1}', lock.token)).toBeGreaterThanOrEqual(2);
    expect(await app.get(Orders).pay('1')).toBeUndefined();
    await lock.release();
    expect(await app.get(Orders).pay('1')).toBe(1);
    expect(warn).not.toHaveBeenCalled();
    await app.close();
    expect(await nodes.keys()).toEqual([]);
  });

  it('takes its other options from a factory', async () => {
    const app = await boot([
      ...connections(3),
      RedisLockModule.forRootAsync({ nodes: nodeNames(3), name: 'q', useFactory: () => ({ ttl: '5s' }) }),
    ]);
    await app.close();
    const late = RedisLockModule.forRootAsync({
      nodes: nodeNames(3),
      useFactory: () => ({ queueLease: '1s' }) as const,
    });
    expect(await refusal([...connections(3), late])).toMatch(/RedisLockModule\.queueLease: can't be set together with/);
  });

  it.each([
    [2, /RedisLockModule\.nodes: 2 nodes outlive the failure of none/],
    [4, /RedisLockModule\.nodes: 4 nodes outlive the failure of no more of them than 3 do/],
  ])('warns once of %i nodes, and says why', async (count, message) => {
    const app = await boot([...connections(count), RedisLockModule.forRoot({ nodes: nodeNames(count) })]);
    expect(warn.mock.calls.map(([first]) => String(first))).toEqual([expect.stringMatching(message)]);
    await app.close();
  });

  it.each<[string, RedisLockModuleOptions, RegExp]>([
    ['connection too', { nodes: nodeNames(3), connection: 'lock-a' }, /nodes: contradicts connection/],
    ['no node', { nodes: [] }, /nodes: got 0; a quorum takes several nodes/],
    ['one node', { nodes: ['lock-a'] }, /nodes: got 1; .* For one Redis use connection/],
    ['a node twice', { nodes: ['lock-a', 'lock-b', 'lock-a'] }, /nodes: names "lock-a" twice/],
    ['an empty name', { nodes: ['lock-a', ''] }, /nodes\[1\]: got ""/],
    ['a queue lease', { nodes: nodeNames(3), queueLease: '1s' }, /queueLease: can't be set together with nodes/],
    ['a claim time', { nodes: nodeNames(3), claimTtl: '1s' }, /claimTtl: can't be set together with nodes/],
    ['replicas', { nodes: nodeNames(3), replicas: 1 }, /replicas: can't be set together with nodes/],
    ['a typo', { nodes: nodeNames(3), tll: 1 } as object, /tll: is not an option/],
  ])('refuses %s where it is written', (_what, options, message) => {
    expect(() => RedisLockModule.forRoot(options)).toThrow(OptionsError);
    expect(() => RedisLockModule.forRoot(options)).toThrow(message);
  });

  it('refuses text in place of a list', () => {
    expect(() => RedisLockModule.forRoot({ nodes: 'lock-a' } as object)).toThrow(
      /nodes: expected names of connections/,
    );
  });

  it('refuses an unknown node at boot, and lists the known connections', async () => {
    const unknown = RedisLockModule.forRoot({ nodes: ['lock-a', 'lock-x', 'lock-b'] });
    expect(await refusal([...connections(2), unknown])).toMatch(
      /there is no Redis connection "lock-x"\. Known connections: lock-a, lock-b\./,
    );
  });

  it('refuses nodes that are one server, or have different namespaces', async () => {
    const twin = RedisModule.forRoot({ name: 'lock-c', namespace: 'shop', url: nodes.servers[0]?.url ?? '' });
    const quorum = () => RedisLockModule.forRoot({ nodes: nodeNames(3) });
    expect(await refusal([...connections(2), twin, quorum()])).toMatch(/"lock-a" and "lock-c" both lead to Redis at/);
    expect(await refusal([...connections(3, ['shop', 'shop', 'mall']), quorum()])).toMatch(
      /"lock-a" has the namespace "shop" and "lock-c" has "mall"/,
    );
  });

  it('spends no more than a quarter of the ttl on a node', async () => {
    const { resolveLockOptions } = await import('../src/lock.options.js');
    const by = (commandTimeout?: '1s') => resolveLockOptions({ ...(commandTimeout && { commandTimeout }) }, 'q', true);
    expect([100, 400, 2_000, 30_000].map((ttlMs) => by().budgetMs(ttlMs))).toEqual([25, 25, 100, 250]);
    expect([100, 2_000, 30_000].map((ttlMs) => by('1s').budgetMs(ttlMs))).toEqual([25, 500, 1_000]);
  });
});

describeOn(cluster)('a node of a quorum', (redis) => {
  it('can not be a Cluster: several keys of a lock would not live together', async () => {
    const imports = [
      RedisModule.forRoot({ name: 'lock-a', namespace: 'shop', ...redis.connection }),
      RedisModule.forRoot({ name: 'lock-b', namespace: 'shop', port: 1, startup: 'lazy' }),
      RedisLockModule.forRoot({ nodes: nodeNames(2) }),
    ];
    const error = await failureOf(Test.createTestingModule({ imports }).compile());
    expect(error.message).toMatch(/RedisLockModule\.nodes: "lock-a" is a Cluster; a node is one server/);
  });
});
