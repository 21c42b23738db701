import { eventually } from '@redstart/redis-testing';
import { LockQuorumError, RedisLockModule } from '../src/index.js';
import { nodeNames, Nodes, Proxies, startQuorumHost } from './quorum-support.js';
import { failureOf } from './support.js';

const key = 'shop:lock:{order:42}';
const epoch = 'shop:lock:epoch';

describe('a node that has lost its memory', () => {
  let nodes: Nodes;
  beforeEach(async () => {
    nodes = await Nodes.start(3);
  });
  afterEach(() => nodes[Symbol.asyncDispose]());

  /** Long ago, so that the nodes take part. */
  const remember = () =>
    Promise.all(nodes.servers.map((server) => server.ask((redis) => redis.set(epoch, 1_000, 'PX', 60_000))));

  /** Somebody holds the lock at a bare quorum, of which the second node restarts empty; then somebody else wants it. */
  const restartWithinBareQuorum = async (restartDelay: 0 | '60s') => {
    await remember();
    await using proxies = await Proxies.start(nodes);
    await using first = await startQuorumHost(proxies.all, { restartDelay, commandTimeout: '5s' });
    await using second = await startQuorumHost(nodes.servers, { restartDelay });
    const cut = proxies.at(2).refuse();
    const lock = await first.locks.acquire('order:42', { ttl: '60s' });
    expect(await nodes.holding(key, lock.token)).toBe(2);
    await nodes.servers[1]?.restart();
    // Until its connection is back, the second caller has a node less anyway.
    await eventually(async () => (await second.locks.acquire('warm-up', { waitTimeout: 0 })).release());
    let other = null;
    for (let attempt = 0; attempt < 20 && other === null; attempt++) {
      other = await second.locks.tryAcquire('order:42').catch(() => null);
    }
    expect(lock.isHeld).toBe(true);
    expect(cut.injected).toBeGreaterThan(0);
    return other;
  };

  it('helps a second holder to a lock that it has forgotten, if nothing keeps it away', async () => {
    expect(await restartWithinBareQuorum(0)).not.toBeNull();
  });

  it('does not with restartDelay: the quorum of others is asked only', async () => {
    expect(await restartWithinBareQuorum('60s')).toBeNull();
  });

  it('takes no part in new locks for restartDelay, says so, and takes part again afterwards', async () => {
    await using host = await startQuorumHost(nodes.servers, { restartDelay: '3s' });
    const error = await eventually(async () => {
      const failure = await failureOf(host.locks.acquire('order:42'));
      if (!(failure instanceof LockQuorumError)) throw failure;
      expect(Object.values(failure.causes).join(' ')).toMatch(/remembers nothing of earlier locks .* for \d+ ms/);
      return failure;
    });
    expect(error.needed).toBe(2);
    expect(await nodes.get(key)).toEqual([null, null, null]);
    await eventually(async () => (await host.locks.acquire('order:42')).release());
    for (const leaseMs of await nodes.pttl(epoch)) expect(leaseMs).toBeGreaterThan(29 * 86_400_000);
  });

  it('is used by whoever holds the lock already, keeps its epoch, and survives a clock that was set back', async () => {
    await remember();
    await using host = await startQuorumHost(nodes.servers, { restartDelay: '20s' });
    await using lock = await host.locks.acquire('order:42', { ttl: '3s', autoExtend: true });
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    expect(await nodes.get(epoch)).toEqual(['1000', '1000', '1000']);
    for (const leaseMs of await nodes.pttl(epoch)) expect(leaseMs).toBeGreaterThan(29 * 86_400_000);
    const [first, second] = nodes.servers;
    await first?.flush();
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    const ahead = Date.now() + 3_600_000;
    await second?.ask((redis) => redis.set(epoch, ahead, 'PX', 60_000));
    await host.locks.tryAcquire('other').catch(() => null);
    await eventually(async () => {
      const [, since] = await nodes.get(epoch);
      expect(Number(since)).toBeLessThan(ahead - 3_000_000);
    });
  });

  it('needs nodes to be told of', () => {
    expect(() => RedisLockModule.forRoot({ restartDelay: '30s' })).toThrow(
      /RedisLockModule\.restartDelay: takes nodes/,
    );
    expect(() => RedisLockModule.forRoot({ nodes: nodeNames(3), restartDelay: '30s' })).not.toThrow();
  });
});
