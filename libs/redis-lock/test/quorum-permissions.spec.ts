import { setTimeout as sleep } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { eventually } from '@redstart/redis-testing';
import { LockQuorumError } from '../src/index.js';
import { behindProxies, Nodes } from './quorum-support.js';
import { failureOf } from './support.js';

const key = 'shop:lock:{order:42}';
/** A busy machine is no outage. */
const patient = { commandTimeout: '5s' } as const;

/** Failures that no retry cures: such a node counts as down, but it is not asked again and again as one that is. */
describe('a node that refuses a lock for good', () => {
  let nodes: Nodes;
  let warn: jest.SpiedFunction<Logger['warn']>;
  beforeEach(async () => {
    nodes = await Nodes.start(3);
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });
  afterEach(async () => {
    warn.mockRestore();
    await nodes[Symbol.asyncDispose]();
  });

  /** May scripts be run at these nodes? */
  const permit = async (yes: boolean, ...indexes: number[]) => {
    for (const index of indexes) {
      await nodes.servers[index]?.ask((redis) => redis.acl('SETUSER', 'default', yes ? '+evalsha' : '-evalsha'));
    }
  };
  const told = (node: string) =>
    warn.mock.calls.map(([message]) => String(message)).filter((message) => message.startsWith(`Node "${node}"`));

  it('is told of once, is asked once and once more by each renewal, and joins when it permits it', async () => {
    await using far = await behindProxies(nodes, patient);
    const { commands } = far.proxies.at(1);
    const scripts = () => commands.get('EVALSHA') ?? 0;
    await permit(false, 1);
    commands.clear();
    const lock = await far.host.locks.acquire('order:42', { ttl: '60s' });
    await eventually(() => scripts() === 1);
    // For a node that is down, these are the pauses of three more attempts at most.
    await sleep(100 + 200 + 400);
    expect(scripts()).toBe(1);
    expect(told('lock-b')).toEqual([expect.stringMatching(/^Node "lock-b" refuses lock ".*order:42.*NOPERM/)]);
    expect(told('lock-b').join()).not.toContain(lock.token);

    await lock.extend();
    await eventually(() => scripts() === 2);
    await sleep(100 + 200);
    expect(scripts()).toBe(2);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(lock.isHeld).toBe(true);

    await permit(true, 1);
    await lock.extend();
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    expect(await lock.release()).toBe(true);
  });

  it.each([{}, { waitTimeout: '1m' }] as const)(
    'makes a call that needs it reject at once, with its reason: %j',
    async (options) => {
      await using far = await behindProxies(nodes, patient);
      await permit(false, 0, 2);
      for (const { commands } of far.proxies.all) commands.clear();
      const error = await failureOf(far.host.locks.tryAcquire('order:42', options));
      if (!(error instanceof LockQuorumError)) throw error;
      expect(Object.keys(error.causes).sort()).toEqual(['lock-a', 'lock-c']);
      for (const cause of Object.values(error.causes)) expect(cause).toContain('NOPERM');
      // One to acquire it, and one to clear up.
      for (const index of [0, 2]) expect(far.proxies.at(index).commands.get('EVALSHA')).toBeLessThanOrEqual(2);
      expect([told('lock-a').length, told('lock-b').length, told('lock-c').length]).toEqual([1, 0, 1]);
      await permit(true, 0, 2);
      await eventually(async () => (await far.host.locks.acquire('order:42')).release());
    },
  );

  it('is told of while a lock is held that will be lost by it', async () => {
    await using far = await behindProxies(nodes, patient);
    const lock = await far.host.locks.acquire('order:42', { ttl: '3s', autoExtend: true });
    const { signal } = lock;
    await permit(false, 0, 1);
    await eventually(() => {
      for (const node of ['lock-a', 'lock-b']) expect(told(node)).toEqual([expect.stringContaining('NOPERM')]);
    });
    expect(lock.isHeld).toBe(true);
    await eventually(() => signal.aborted);
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'quorum' });
    await permit(true, 0, 1);
  });
});
