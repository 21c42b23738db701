import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { eventually, type FaultProxy } from '@redstart/redis-testing';
import { LockQuorumError, type Lock, type RedisLockOptions } from '../src/index.js';
import { quorumReleaseScript } from '../src/quorum/scripts/quorum-release.js';
import { Nodes, Proxies, startQuorumHost } from './quorum-support.js';
import { deferred, failureOf, stall, type Host } from './support.js';

const key = 'shop:lock:{order:42}';
const stranger = `${'s'.repeat(22)}stranger:1:abcdefgh_00000001`;

/** One host behind proxies of its own, connected. */
async function behindProxies(nodes: Nodes, options: RedisLockOptions = {}) {
  const proxies = await Proxies.start(nodes);
  const host = await startQuorumHost(proxies.all, options);
  await eventually(async () => (await host.locks.acquire('warm-up')).release());
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
async function timed<T>(work: Promise<T>): Promise<{ result: T; ms: number }> {
  const since = performance.now();
  return { result: await work, ms: performance.now() - since };
}

describe('faults of a lock over three nodes', () => {
  let nodes: Nodes;
  let direct: Host;
  beforeAll(async () => {
    nodes = await Nodes.start(3);
    direct = await startQuorumHost(nodes.servers);
  });
  afterAll(async () => {
    await direct.app.close();
    await nodes[Symbol.asyncDispose]();
  });
  beforeEach(() => nodes.flush());

  const nothingIsLeft = () =>
    eventually(async () => {
      expect(await nodes.keys()).toEqual([]);
    });

  it('minority down: taken, renewed and released by the others, and joined by the node when it is back', async () => {
    await using far = await behindProxies(nodes);
    const down = far.proxies.at(1).refuse();
    const lock = await far.host.locks.acquire('order:42', { ttl: 900, autoExtend: true });
    const until = performance.now() + 1_500;
    await eventually(() => performance.now() > until);
    expect(lock.isHeld).toBe(true);
    expect(await nodes.holding(key, lock.token)).toBe(2);
    expect(down.injected).toBeGreaterThan(0);
    down.stop();
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    expect(await lock.release()).toBe(true);
    await nothingIsLeft();
  });

  it('silent minority: nobody waits for the node that does not answer', async () => {
    await using far = await behindProxies(nodes, { commandTimeout: '5s' });
    const hole = far.proxies.at(0).blackhole();
    const taken = await timed(far.host.locks.acquire('order:42', { ttl: '60s' }));
    const extended = await timed(taken.result.extend());
    const released = await timed(taken.result.release());
    expect(released.result).toBe(true);
    for (const { ms } of [taken, extended, released]) expect(ms).toBeLessThan(2_000);
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    await nothingIsLeft();
  });

  it('quorum impossible: settles at once, although a node has not answered', async () => {
    await using far = await behindProxies(nodes, { commandTimeout: '5s' });
    await Promise.all(nodes.servers.slice(1).map((server) => server.client().set(key, stranger, 'PX', 60_000)));
    const hole = far.proxies.at(0).blackhole();
    const { result, ms } = await timed(far.host.locks.tryAcquire('order:42', { ttl: '60s' }));
    expect(result).toBeNull();
    expect(ms).toBeLessThan(2_000);
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    // What the silent node has granted meanwhile is given back as well.
    await eventually(async () => {
      expect(await nodes.get(key)).toEqual([null, stranger, stranger]);
    });
  });

  it('majority down: acquire rejects within two node timeouts, and leaves nothing behind', async () => {
    await using far = await behindProxies(nodes, { commandTimeout: 200 });
    const holes = [far.proxies.at(0).blackhole(), far.proxies.at(1).blackhole()];
    const { result, ms } = await timed(failureOf(far.host.locks.acquire('order:42', { waitTimeout: '1m' })));
    expect(result).toBeInstanceOf(LockQuorumError);
    expect(ms).toBeLessThan(2_000);
    for (const hole of holes) {
      expect(hole.injected).toBeGreaterThan(0);
      hole.stop();
    }
    await nothingIsLeft();
    await eventually(async () => (await far.host.locks.acquire('order:42')).release());
  });

  it('majority down while it is held: the signal aborts before the lease can lapse, and withLock rejects', async () => {
    await using far = await behindProxies(nodes);
    const holding = deferred();
    let heldMs = 0;
    const failure = failureOf(
      far.host.locks.withLock('order:42', { ttl: 900 }, async (lock) => {
        const since = performance.now();
        holding.resolve();
        await new Promise((resolve) => {
          lock.signal.addEventListener('abort', resolve, { once: true });
        });
        heldMs = performance.now() - since;
        expect(lock.isHeld).toBe(false);
      }),
    );
    await holding.promise;
    const holes = [far.proxies.at(0).blackhole(), far.proxies.at(2).blackhole()];
    expect(await failure).toMatchObject({ code: 'LOCK_LOST', reason: 'quorum' });
    expect(heldMs).toBeGreaterThan(700);
    expect(heldMs).toBeLessThan(1_000);
    for (const hole of holes) {
      expect(hole.injected).toBeGreaterThan(0);
      hole.stop();
    }
    await nothingIsLeft();
  });

  it('slow node: counts as down, and what it did late is cleared', async () => {
    await using far = await behindProxies(nodes, { commandTimeout: 150 });
    const slow = far.proxies.at(2).latency(400);
    const { result, ms } = await timed(far.host.locks.acquire('order:42', { ttl: '20s' }));
    expect(ms).toBeLessThan(2_000);
    expect(await result.release()).toBe(true);
    expect(slow.injected).toBeGreaterThan(0);
    slow.stop();
    await nothingIsLeft();
  });

  it('lost reply to acquire at one node: held, completed there, and nobody blocks on their own key', async () => {
    await using far = await behindProxies(nodes);
    const lost = far.proxies.at(0).dropReply('EVALSHA', { thenReset: true });
    const lock = await far.host.locks.acquire('order:42', { ttl: '20s' });
    expect(lost.injected).toBe(1);
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
      expect(await nodes.get(`${key}:fence`)).toEqual(Array(3).fill(`${lock.fencingToken}`));
    });
    expect(await lock.release()).toBe(true);
    await nothingIsLeft();
  });

  it('lost replies to acquire at a majority: the next round recognises what the first one has won', async () => {
    await using far = await behindProxies(nodes);
    const lost = [0, 1].map((node) => far.proxies.at(node).dropReply('EVALSHA', { thenReset: true }));
    const { result: lock, ms } = await timed(far.host.locks.acquire('order:42', { ttl: '60s' }));
    expect(ms).toBeLessThan(5_000);
    for (const { injected } of lost) expect(injected).toBe(1);
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    expect(await lock.release()).toBe(true);
    await nothingIsLeft();
  });

  it('lost reply to release at one node: it counts as released, and the node is told again', async () => {
    await using far = await behindProxies(nodes);
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
    await using far = await behindProxies(nodes);
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

  it('slow answers: the lease counts from before the first command was sent', async () => {
    await using far = await behindProxies(nodes, { commandTimeout: '2s' });
    const slow = far.proxies.all.map((proxy) => proxy.latency(200));
    // Two round trips for the lock, one for its extension.
    const lock = await far.host.locks.acquire('order:42', { ttl: '20s' });
    expect(lock.remainingMs).toBeLessThanOrEqual(20_000 * 0.99 - 2 - 400);
    await lock.extend();
    expect(lock.remainingMs).toBeLessThanOrEqual(20_000 * 0.99 - 2 - 200);
    expect(lock.remainingMs).toBeGreaterThan(15_000);
    for (const { injected } of slow) expect(injected).toBeGreaterThan(0);
    await lock.release();
  });

  it('the event loop stalls while the nodes answer: too little of the lease is left, so another round is won', async () => {
    await (await direct.locks.acquire('warm-up')).release();
    for (const server of nodes.servers) server.pause();
    const acquiring = direct.locks.acquire('order:42', { ttl: '2s' });
    await sleep(100); // The commands have left, and nobody can have answered.
    for (const server of nodes.servers) server.resume();
    stall(1_000);
    const lock = await acquiring;
    expect(lock.remainingMs).toBeGreaterThanOrEqual(1_000);
    await lock.release();
    await nothingIsLeft();
  });

  it('released while a node is still being asked: nothing is left there, even if the release could overtake', async () => {
    await using far = await behindProxies(nodes);
    const [, , third] = nodes.servers;
    // The node knows the script that releases, and has to be sent the one that acquires a second time.
    await third?.ask(async (redis) => {
      await redis.script('FLUSH');
      await redis.script('LOAD', quorumReleaseScript.lua);
    });
    const slow = far.proxies.at(2).latency(150);
    const lock = await far.host.locks.acquire('order:42', { ttl: '60s' });
    expect(await lock.release()).toBe(true);
    await sleep(500); // Longer than both ways that the slow node takes.
    expect(slow.injected).toBeGreaterThan(0);
    expect(await nodes.keys()).toEqual([]);
  });

  it('shutdown with a slow node and forgotten scripts: waits until every node is told', async () => {
    const far = await behindProxies(nodes);
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
    const far = await behindProxies(nodes, { commandTimeout: 200 });
    await far.host.locks.acquire('order:42', { ttl: '60s', autoExtend: true });
    const hole = far.proxies.at(1).blackhole();
    const { ms } = await timed(far.host.app.close());
    expect(ms).toBeLessThan(8_000);
    expect(hole.injected).toBeGreaterThan(0);
    const [first, , third] = await nodes.get(key);
    expect([first, third]).toEqual([null, null]);
    await far.proxies[Symbol.asyncDispose]();
  });

  it('shows no password in what it says of the nodes', async () => {
    const secret = 'hunter2';
    const unreachable = nodes.servers.map(({ port }) => ({ url: `redis://user:${secret}@127.0.0.1:${port}` }));
    await using far = await startQuorumHost(unreachable, { commandTimeout: 200 });
    const error = await failureOf(far.locks.tryAcquire('order:42'));
    expect(error).toBeInstanceOf(LockQuorumError);
    expect(inspect(error, { depth: 9 })).not.toContain(secret);
    expect(JSON.stringify(error)).not.toContain(secret);
  });
});

describe.each([2, 4])('a tie of %i nodes', (count) => {
  let nodes: Nodes;
  beforeAll(async () => {
    nodes = await Nodes.start(count);
  });
  afterAll(() => nodes[Symbol.asyncDispose]());

  it('is settled for both callers at once, and broken by their jitter', async () => {
    await using one = await behindProxies(nodes, { commandTimeout: '2s' });
    await using two = await behindProxies(nodes, { commandTimeout: '2s' });
    const half = count / 2;
    // Each one comes first at its half of the nodes.
    const delay = (proxy: FaultProxy) => proxy.latency(150, { way: 'request' });
    const delays = [...one.proxies.all.slice(half).map(delay), ...two.proxies.all.slice(0, half).map(delay)];
    const both = [one, two].map(({ host }) => host.locks.tryAcquire('order:42', { ttl: '20s' }));
    const { result, ms } = await timed(Promise.all(both));
    expect(result).toEqual([null, null]);
    expect(ms).toBeLessThan(3_000);
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
