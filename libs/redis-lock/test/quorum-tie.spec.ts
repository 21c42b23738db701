import type { FaultProxy } from '@redstart/redis-testing';
import type { Lock } from '../src/index.js';
import { behindProxies, Nodes, timed } from './quorum-support.js';
import type { Host } from './support.js';

describe.each([2, 4])('a tie of %i nodes', (count) => {
  let nodes: Nodes;
  beforeAll(async () => {
    nodes = await Nodes.start(count);
  });
  afterAll(() => nodes[Symbol.asyncDispose]());

  it('is settled for both callers at once, and broken by their jitter', async () => {
    await using one = await behindProxies(nodes, { commandTimeout: '15s' });
    await using two = await behindProxies(nodes, { commandTimeout: '15s' });
    const half = count / 2;
    // Each one comes first at its half of the nodes.
    const delay = (proxy: FaultProxy) => proxy.latency(150, { way: 'request' });
    const delays = [...one.proxies.all.slice(half).map(delay), ...two.proxies.all.slice(0, half).map(delay)];
    const both = [one, two].map(({ host }) => host.locks.tryAcquire('order:42', { ttl: '60s' }));
    const { result, ms } = await timed(Promise.all(both));
    expect(result).toEqual([null, null]);
    expect(ms).toBeLessThan(10_000); // Nobody waits for a budget.
    for (const { injected } of delays) expect(injected).toBeGreaterThan(0);
    for (const handle of delays) handle.stop();

    const inside: Lock[] = [];
    const visit = async ({ host }: { host: Host }) => {
      const lock = await host.locks.acquire('order:42', { ttl: '20s', waitTimeout: '30s' });
      expect(inside.filter(({ isHeld }) => isHeld)).toEqual([]);
      inside.push(lock);
      await lock.release();
    };
    await Promise.all([visit(one), visit(two), visit(one), visit(two)]);
    expect(inside).toHaveLength(4);
  });
});
