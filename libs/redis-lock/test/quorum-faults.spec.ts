import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { eventually } from '@redstart/redis-testing';
import { LockQuorumError } from '../src/index.js';
import { behindProxies, Nodes, startQuorumHost, timed } from './quorum-support.js';
import { deferred, failureOf, stall, type Host } from './support.js';

const key = 'shop:lock:{order:42}';
const stranger = `${'s'.repeat(22)}stranger:1:abcdefgh_00000001`;

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
    const lock = await far.host.locks.acquire('order:42', { ttl: '3s', autoExtend: true });
    const until = performance.now() + 3_300; // Longer than the lease.
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
    await using far = await behindProxies(nodes, { commandTimeout: '15s' });
    const hole = far.proxies.at(0).blackhole();
    const taken = await timed(far.host.locks.acquire('order:42', { ttl: '60s' }));
    const extended = await timed(taken.result.extend());
    const released = await timed(taken.result.release());
    expect(released.result).toBe(true);
    for (const { ms } of [taken, extended, released]) expect(ms).toBeLessThan(10_000);
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    await nothingIsLeft();
  });

  it('quorum impossible: settles at once, although a node has not answered', async () => {
    await using far = await behindProxies(nodes, { commandTimeout: '15s' });
    await Promise.all(nodes.servers.slice(1).map((server) => server.client().set(key, stranger, 'PX', 60_000)));
    const hole = far.proxies.at(0).blackhole();
    const { result, ms } = await timed(far.host.locks.tryAcquire('order:42', { ttl: '60s' }));
    expect(result).toBeNull();
    expect(ms).toBeLessThan(10_000);
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    // What the silent node has granted meanwhile is given back as well.
    await eventually(async () => {
      expect(await nodes.get(key)).toEqual([null, stranger, stranger]);
    });
  });

  it('majority down: acquire rejects within two node timeouts, and leaves nothing behind', async () => {
    await using far = await behindProxies(nodes, { commandTimeout: 300 });
    const holes = [far.proxies.at(0).blackhole(), far.proxies.at(1).blackhole()];
    const { result, ms } = await timed(failureOf(far.host.locks.acquire('order:42', { waitTimeout: '1m' })));
    expect(result).toBeInstanceOf(LockQuorumError);
    expect(ms).toBeLessThan(15_000); // It would wait for a minute.
    for (const hole of holes) {
      expect(hole.injected).toBeGreaterThan(0);
      hole.stop();
    }
    await nothingIsLeft();
    await eventually(async () => (await far.host.locks.acquire('order:42')).release());
  });

  it('majority that fails, and somebody has it at the node that is left: an outage, and no lock to wait for', async () => {
    await using far = await behindProxies(nodes, { commandTimeout: '5s' });
    const full = nodes.servers.slice(1);
    const limit = (maxmemory: string) =>
      Promise.all(full.map((server) => server.ask((redis) => redis.config('SET', 'maxmemory', maxmemory))));
    await nodes.servers[0]?.ask((redis) => redis.set(key, stranger, 'PX', 60_000));
    await limit('1');
    // The node that is left answers first, and one failure more decides each round: that the third fails as well comes to light later.
    const slow = [far.proxies.at(1).latency(700), far.proxies.at(2).latency(800)];
    try {
      const error = await failureOf(far.host.locks.acquire('order:42', { waitTimeout: '15s' }));
      if (!(error instanceof LockQuorumError)) throw error;
      expect(Object.keys(error.causes).sort()).toEqual(['lock-a', 'lock-b', 'lock-c']);
      expect(error.causes['lock-c']).toContain('OOM');
      for (const { injected } of slow) expect(injected).toBeGreaterThan(0);
    } finally {
      await limit('0');
    }
    await eventually(async () => {
      expect(await nodes.get(key)).toEqual([stranger, null, null]);
    });
  });

  it('majority down while it is held: the signal aborts before the lease can lapse, and withLock rejects', async () => {
    await using far = await behindProxies(nodes);
    const ttlMs = 3_000;
    const holding = deferred();
    const askedAt = performance.now();
    let endedAt = 0;
    const failure = failureOf(
      far.host.locks.withLock('order:42', { ttl: ttlMs }, async (lock) => {
        holding.resolve();
        await new Promise((resolve) => {
          lock.signal.addEventListener('abort', resolve, { once: true });
        });
        endedAt = performance.now();
        expect(lock.isHeld).toBe(false);
      }),
    );
    await holding.promise;
    const holes = [far.proxies.at(0).blackhole(), far.proxies.at(2).blackhole()];
    const cutAt = performance.now();
    expect(await failure).toMatchObject({ code: 'LOCK_LOST', reason: 'quorum' });
    // At its deadline: a lease less its margin after what a quorum confirmed last, which was no later than the cut.
    expect(endedAt - askedAt).toBeGreaterThanOrEqual(ttlMs * 0.99 - 2 - 1);
    expect(endedAt - cutAt).toBeLessThan(ttlMs + 1_500); // A timer of a busy machine.
    for (const hole of holes) {
      expect(hole.injected).toBeGreaterThan(0);
      hole.stop();
    }
    await nothingIsLeft();
  });

  it('slow node: counts as down, and what it did late is cleared', async () => {
    await using far = await behindProxies(nodes, { commandTimeout: 600 });
    const slow = far.proxies.at(2).latency(1_000);
    const { result, ms } = await timed(far.host.locks.acquire('order:42', { ttl: '20s' }));
    expect(ms).toBeLessThan(9_000);
    expect(await result.release()).toBe(true);
    expect(slow.injected).toBeGreaterThan(0);
    slow.stop();
    await nothingIsLeft();
  });

  it('lost reply to acquire at one node: held, completed there, and nobody blocks on their own key', async () => {
    await using far = await behindProxies(nodes);
    const lost = far.proxies.at(0).dropReply('EVALSHA', { thenReset: true });
    const lock = await far.host.locks.acquire('order:42', { ttl: '20s' });
    await eventually(() => lost.injected === 1); // The others may have been a quorum before it answered.
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
    expect(ms).toBeLessThan(9_000); // By then whoever waits for his own lock has given up.
    await eventually(() => lost.every(({ injected }) => injected === 1));
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    expect(await lock.release()).toBe(true);
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
    const acquiring = direct.locks.acquire('order:42', { ttl: '4s' });
    await sleep(100); // The commands have left, and nobody can have answered.
    for (const server of nodes.servers) server.resume();
    stall(2_000);
    const lock = await acquiring;
    expect(lock.remainingMs).toBeGreaterThanOrEqual(2_000);
    await lock.release();
    await nothingIsLeft();
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
