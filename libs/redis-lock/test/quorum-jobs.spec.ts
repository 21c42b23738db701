import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { RedisModule } from '@redstart/redis-core';
import { eventually } from '@redstart/redis-testing';
import { CronLock, RedisLockModule, type Leadership } from '../src/index.js';
import { nodeNames, Nodes, startQuorumHost } from './quorum-support.js';
import type { Host } from './support.js';

@Injectable()
class Jobs {
  runs = 0;

  @CronLock('report', { atLeast: '20s' })
  report(): Promise<string> {
    this.runs++;
    return Promise.resolve('ran');
  }
}

describe('a quorum of three nodes', () => {
  let nodes: Nodes;
  beforeAll(async () => {
    nodes = await Nodes.start(3);
  });
  afterAll(() => nodes[Symbol.asyncDispose]());
  beforeEach(() => nodes.flush());

  it('elects a leader, one after the other, and revokes it when a majority is gone', async () => {
    await using one = await startQuorumHost(nodes.servers, { ttl: '3s' });
    await using other = await startQuorumHost(nodes.servers, { ttl: '3s' });
    const events: string[] = [];
    const stand = (name: string, { locks }: Host): Leadership =>
      locks.leader('scheduler', {
        onElected: () => events.push(`${name} elected`),
        onRevoked: () => events.push(`${name} revoked`),
      });
    const a = stand('a', one);
    await eventually(() => a.isLeader);
    // At each node: with one that it has not reached yet, the first that is gone would leave it no quorum.
    await eventually(async () => {
      expect(await nodes.holding('shop:lock:{scheduler}', a.lock?.token ?? '?')).toBe(3);
    });
    const b = stand('b', other);
    nodes.servers[0]?.pause();
    const until = performance.now() + 3_300;
    await eventually(() => performance.now() > until, { within: 20_000 }); // Longer than the lease.
    expect([a.isLeader, b.isLeader, events]).toEqual([true, false, ['a elected']]);
    await a.stop();
    await eventually(() => b.isLeader, { within: 20_000 });
    nodes.servers[1]?.pause();
    await eventually(() => !b.isLeader, { within: 20_000 });
    nodes.servers[0]?.resume();
    nodes.servers[1]?.resume();
    await eventually(() => b.isLeader, { within: 20_000 });
    await b.stop();
    expect(events).toEqual(['a elected', 'a revoked', 'b elected', 'b revoked', 'b elected', 'b revoked']);
  });

  it('runs a scheduled job once, and leaves it out when a majority is gone', async () => {
    const names = nodeNames(3);
    const start = async () => {
      const imports = [
        ...nodes.servers.map(({ url }, at) =>
          RedisModule.forRoot({ startup: 'lazy', name: names[at] ?? '', namespace: 'shop', url }),
        ),
        RedisLockModule.forRoot({ nodes: names, commandTimeout: 500 }),
      ];
      const app = await Test.createTestingModule({ imports, providers: [Jobs] }).compile();
      return { jobs: (await app.init()).get(Jobs), [Symbol.asyncDispose]: () => app.close() };
    };
    await using here = await start();
    await using there = await start();
    nodes.servers[0]?.pause();
    nodes.servers[1]?.pause();
    expect(await here.jobs.report()).toBeUndefined();
    nodes.servers[0]?.resume();
    nodes.servers[1]?.resume();
    expect(here.jobs.runs).toBe(0);
    await eventually(
      async () => {
        const results: unknown[] = [await here.jobs.report(), await there.jobs.report()];
        expect(results).toContain('ran');
      },
      { within: 30_000 },
    );
    expect(here.jobs.runs + there.jobs.runs).toBe(1);
    // What a node was asked while it was paused, it does when it goes on, and is told at once to take back.
    await eventually(async () => {
      for (const lease of await nodes.pttl('shop:lock:{report}')) expect(lease).toBeLessThanOrEqual(20_000);
    });
  });
});
