import { eventually, FaultProxy, RedisServer } from '@redstart/redis-testing';
import type { Leadership } from '../src/index.js';
import { startHost, type Host } from './support.js';

describe('a leader, when', () => {
  let server: RedisServer;
  let events: string[];
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown) => rejections.push(reason);
  beforeAll(async () => {
    process.on('unhandledRejection', onRejection);
    server = await RedisServer.start();
  });
  afterAll(async () => {
    process.off('unhandledRejection', onRejection);
    await server.stop();
    expect(rejections).toEqual([]);
  });
  beforeEach(async () => {
    events = [];
    await server.flush();
  });
  const stand = (name: string, host: Host): Leadership =>
    host.locks.leader('scheduler', {
      ttl: 2_400,
      onElected: () => events.push(`${name} elected`),
      onRevoked: (reason) => events.push(`${name} revoked: ${reason}`),
    });
  const waiting = async (host: Host, count: number) => {
    await eventually(
      async () => {
        expect((await host.locks.inspect('scheduler'))?.waiting ?? 0).toBe(count);
      },
      { within: 15_000 },
    );
  };

  it('it is cut off from Redis, is revoked before anybody else is elected, and stands again when it is back', async () => {
    await using proxy = await FaultProxy.start(server);
    await using cutOff = await startHost({ url: proxy.url }, { commandTimeout: 800 });
    await using other = await startHost({ url: server.url });
    await using a = stand('a', cutOff);
    await eventually(() => a.isLeader);
    await using b = stand('b', other);
    await waiting(other, 1);
    const hole = proxy.blackhole();
    await eventually(() => b.isLeader, { within: 15_000 });
    expect(events).toEqual(['a elected', 'a revoked: deadline', 'b elected']);
    expect(a.isLeader).toBe(false);
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    await waiting(other, 1);
    await b.stop();
    await eventually(() => a.isLeader, { within: 15_000 });
    expect(events.slice(3)).toEqual(['b revoked: stopped', 'a elected']);
  }, 60_000);

  it('Redis restarts empty, is revoked in the outage, and one of all is elected after it', async () => {
    await using here = await startHost({ url: server.url }, { commandTimeout: 800 });
    await using there = await startHost({ url: server.url }, { commandTimeout: 800 });
    const candidates = [stand('a', here)];
    await eventually(() => events.length === 1);
    candidates.push(stand('b', there));
    await waiting(there, 1);
    await server.kill();
    await eventually(() => events.length === 2, { within: 15_000 });
    expect(events).toEqual(['a elected', 'a revoked: deadline']);
    await server.restart();
    await eventually(() => candidates.some(({ isLeader }) => isLeader), { within: 15_000 });
    await waiting(there, 1);
    expect(candidates.filter(({ isLeader }) => isLeader)).toHaveLength(1);
    expect(events).toHaveLength(3);
    await Promise.all(candidates.map((candidate) => candidate.stop()));
    await eventually(async () => {
      expect(await server.client().exists('shop:lock:{scheduler}')).toBe(0);
    });
  }, 60_000);

  it('its connections are reset, it is still the leader, and the candidate still the next', async () => {
    await using proxy = await FaultProxy.start(server);
    await using here = await startHost({ url: proxy.url });
    await using there = await startHost({ url: proxy.url }, { queueLease: '3s' });
    await using a = stand('a', here);
    await eventually(() => a.isLeader);
    await using b = stand('b', there);
    await waiting(here, 1);
    expect(proxy.reset().injected).toBeGreaterThanOrEqual(2);
    const until = performance.now() + 2_500;
    await eventually(() => performance.now() > until); // Longer than the lease.
    expect([a.isLeader, b.isLeader, events]).toEqual([true, false, ['a elected']]);
    await a.stop();
    await eventually(() => b.isLeader);
    expect(events).toEqual(['a elected', 'a revoked: stopped', 'b elected']);
  });
});
