import { eventually } from '@redstart/redis-testing';
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

  it('call an attempt that no quorum answers unavailable, and neither held nor a defect', async () => {
    await using far = await behindProxies(nodes);
    const before = far.host.locks.stats();
    const down = [far.proxies.at(0).refuse(), far.proxies.at(1).refuse()];
    const calls = [
      far.host.locks.tryAcquire('order:42', { label: 'told' }),
      far.host.locks.acquire('order:42', { label: 'told' }),
      far.host.locks.withLock([['a'], ['b']], { label: 'told' }, () => Promise.resolve()),
    ];
    for (const call of calls) expect(await failureOf(call)).toBeInstanceOf(LockQuorumError);
    for (const { injected } of down) expect(injected).toBeGreaterThan(0);
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

  it('tell of renewals that fail, of the loss by the quorum, and of a release that is left to the leases', async () => {
    await using far = await behindProxies(nodes);
    const renewed = await far.host.locks.acquire('order:42', { ttl: '900ms', autoExtend: true, label: 'told' });
    const { signal } = renewed;
    const down = [far.proxies.at(0).refuse(), far.proxies.at(2).refuse()];
    await eventually(() => signal.aborted);
    const told = () => events.map((event) => ('reason' in event ? `${event.event}: ${event.reason}` : event.event));
    expect(told().slice(0, 2)).toEqual(['attempt', 'acquired']);
    expect(told()).toContain('extend-failed');
    expect(told()).toContain('lost: quorum');
    for (const fault of down) {
      expect(fault.injected).toBeGreaterThan(0);
      fault.stop();
    }
    expect(await renewed.release()).toBe(false);

    events.length = 0;
    const released = await eventually(() =>
      far.host.locks.acquire('order:43', { ttl: '20s', label: 'told', waitTimeout: 0 }),
    );
    const again = [far.proxies.at(0).refuse(), far.proxies.at(2).refuse()];
    expect(await failureOf(released.release())).toBeInstanceOf(LockQuorumError);
    for (const { injected } of again) expect(injected).toBeGreaterThan(0);
    expect(told().at(-1)).toBe('release-failed');
  });
});
