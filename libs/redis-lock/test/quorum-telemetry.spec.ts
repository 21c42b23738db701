import { eventually, type FaultHandle } from '@redstart/redis-testing';
import { LockQuorumError, onLockEvent, type LockEvent } from '../src/index.js';
import { behindProxies, Nodes } from './quorum-support.js';
import { failureOf } from './support.js';

/** What is told of locks whose nodes are out of reach. */
describe('the events of a lock over three nodes', () => {
  let nodes: Nodes;
  let events: LockEvent[];
  let stop: () => void;
  beforeEach(async () => {
    nodes = await Nodes.start(3);
    events = [];
    stop = onLockEvent((event) => {
      if (event.label === 'told') events.push(event);
    });
  });
  afterEach(async () => {
    stop();
    await nodes[Symbol.asyncDispose]();
  });

  /** Each of them, a connection that is there or one that is made. */
  const struck = (faults: readonly FaultHandle[]) => eventually(() => faults.every(({ injected }) => injected > 0));
  const told = () => events.map((event) => ('reason' in event ? `${event.event}: ${event.reason}` : event.event));

  it('call an attempt that no quorum answers unavailable, and neither held nor a defect', async () => {
    await using far = await behindProxies(nodes);
    const before = far.host.locks.stats();
    const down = [far.proxies.at(0).refuse(), far.proxies.at(1).refuse()];
    const calls = [
      far.host.locks.tryAcquire('order:42', { label: 'told' }),
      far.host.locks.acquire('order:43', { label: 'told' }),
      far.host.locks.withLock([['a'], ['b']], { label: 'told' }, () => Promise.resolve()),
    ];
    for (const call of calls) expect(await failureOf(call)).toBeInstanceOf(LockQuorumError);
    await struck(down);
    const failures = events.filter(({ event }) => event === 'failed');
    expect(failures).toEqual(
      calls.map(() => expect.objectContaining({ event: 'failed', kind: 'quorum', reason: 'unavailable' }) as unknown),
    );
    const { attempts, failed, timeouts, refused, pending } = far.host.locks.stats();
    expect({ attempts, failed, timeouts, refused, pending }).toEqual({
      attempts: before.attempts + 3,
      failed: before.failed + 3,
      timeouts: before.timeouts,
      refused: before.refused,
      pending: 0,
    });
  });

  it('tell of renewals that fail, and of the loss by the quorum', async () => {
    await using far = await behindProxies(nodes);
    const lock = await far.host.locks.acquire('order:42', { ttl: '2400ms', autoExtend: true, label: 'told' });
    const { signal } = lock;
    const down = [far.proxies.at(0).refuse(), far.proxies.at(2).refuse()];
    await eventually(() => signal.aborted);
    await struck(down);
    expect(told().slice(0, 2)).toEqual(['attempt', 'acquired']);
    expect(told()).toContain('extend-failed');
    expect(told().at(-1)).toBe('lost: quorum');
  });

  it('tell of a release that is left to the leases', async () => {
    await using far = await behindProxies(nodes);
    const lock = await far.host.locks.acquire('order:42', { ttl: '60s', label: 'told' });
    const down = [far.proxies.at(0).refuse(), far.proxies.at(2).refuse()];
    expect(await failureOf(lock.release())).toBeInstanceOf(LockQuorumError);
    await struck(down);
    expect(told()).toEqual(['attempt', 'acquired', 'release-failed']);
  });
});
