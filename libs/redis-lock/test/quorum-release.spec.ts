import { eventually } from '@redstart/redis-testing';
import { quorumReleaseScript } from '../src/quorum/scripts/quorum-release.js';
import { behindProxies, Nodes, timed } from './quorum-support.js';

const key = 'shop:lock:{order:42}';
/** A busy machine is no outage. */
const patient = { commandTimeout: '5s' } as const;

describe('the release of a lock over three nodes', () => {
  let nodes: Nodes;
  beforeAll(async () => {
    nodes = await Nodes.start(3);
  });
  afterAll(() => nodes[Symbol.asyncDispose]());
  beforeEach(() => nodes.flush());

  const nothingIsLeft = () =>
    eventually(async () => {
      expect(await nodes.keys()).toEqual([]);
    });

  it('lost reply to release at one node: it counts as released, and the node is told again', async () => {
    await using far = await behindProxies(nodes, patient);
    const lock = await far.host.locks.acquire('order:42', { ttl: '60s' });
    await eventually(async () => {
      expect(await nodes.get(`${key}:fence`)).toEqual(Array(3).fill(`${lock.fencingToken}`));
    });
    const lost = far.proxies.at(1).dropReply('EVALSHA', { thenReset: true });
    expect(await lock.release()).toBe(true);
    await eventually(() => lost.injected === 1);
    await nothingIsLeft();
  });

  it('a node that is out of reach during the release is told when it is back', async () => {
    await using far = await behindProxies(nodes, patient);
    const lock = await far.host.locks.acquire('order:42', { ttl: '60s' });
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    const down = far.proxies.at(0).refuse();
    expect(await lock.release()).toBe(true);
    expect(await nodes.holding(key, lock.token)).toBe(1);
    expect(down.injected).toBeGreaterThan(0);
    down.stop();
    await nothingIsLeft();
  });

  it('released while a node is still being asked: nothing is left there, even if the release could overtake', async () => {
    await using far = await behindProxies(nodes, patient);
    const [, , third] = nodes.servers;
    // The node knows the script that releases, and has to be sent the one that acquires a second time.
    const evaluated = () =>
      third?.ask(async (redis) =>
        Number(/^cmdstat_eval:calls=(\d+)/m.exec(await redis.info('commandstats'))?.[1] ?? 0),
      );
    await third?.ask(async (redis) => {
      await redis.script('FLUSH');
      await redis.script('LOAD', quorumReleaseScript.lua);
      await redis.config('RESETSTAT');
    });
    const slow = far.proxies.at(2).latency(150);
    const lock = await far.host.locks.acquire('order:42', { ttl: '60s' });
    expect(await lock.release()).toBe(true);
    await eventually(async () => {
      expect(await evaluated()).toBe(1); // The node has taken it: whoever released it before would leave it there for its lease.
    });
    expect(slow.injected).toBeGreaterThan(0);
    await nothingIsLeft();
  });

  it('shutdown before minHold: stays taken at every node until then', async () => {
    const far = await behindProxies(nodes, patient);
    const lock = await far.host.locks.acquire('order:42', { ttl: '60s', minHold: '20s' });
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    await far[Symbol.asyncDispose]();
    expect(lock.signal.reason).toMatchObject({ reason: 'shutdown' });
    for (const leaseMs of await nodes.pttl(key)) {
      expect(leaseMs).toBeGreaterThan(10_000);
      expect(leaseMs).toBeLessThanOrEqual(20_000);
    }
  });

  it('shutdown with a slow node and forgotten scripts: waits until every node is told', async () => {
    const far = await behindProxies(nodes, patient);
    const lock = await far.host.locks.acquire('order:42', { ttl: '60s', autoExtend: true });
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    await Promise.all(nodes.servers.map((server) => server.ask((redis) => redis.script('FLUSH'))));
    const slow = far.proxies.at(2).latency(150);
    await far.host.app.close();
    expect(slow.injected).toBeGreaterThan(0);
    expect(await nodes.keys()).toEqual([]);
    await far.proxies[Symbol.asyncDispose]();
  });

  it('shutdown with a node that hangs: ends in time, and leaves no key at the others', async () => {
    const far = await behindProxies(nodes, { commandTimeout: 500 });
    await far.host.locks.acquire('order:42', { ttl: '60s', autoExtend: true });
    const hole = far.proxies.at(1).blackhole();
    const { ms } = await timed(far.host.app.close());
    expect(ms).toBeLessThan(20_000); // Its lease lasts a minute.
    expect(hole.injected).toBeGreaterThan(0);
    const [first, , third] = await nodes.get(key);
    expect([first, third]).toEqual([null, null]);
    await far.proxies[Symbol.asyncDispose]();
  });
});
