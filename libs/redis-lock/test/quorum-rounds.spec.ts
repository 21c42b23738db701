import { getRedisConnectionToken, type RedisClient, type RedisConnection } from '@redstart/redis-core';
import { RedisServer } from '@redstart/redis-testing';
import { resolveLockOptions } from '../src/lock.options.js';
import { LockRuntime } from '../src/lock-runtime.js';
import { newToken, ownerOfRound, parseOwner } from '../src/owner.js';
import { quorumAcquire } from '../src/quorum/scripts/quorum-acquire.js';
import { quorumFence } from '../src/quorum/scripts/quorum-fence.js';
import { quorumRelease } from '../src/quorum/scripts/quorum-release.js';
import { startHost, type Host } from './support.js';

const key = 'shop:lock:{order:42}';

/** What a network may bring late and out of order, brought in just that order. */
describe('the rounds of a call at one node', () => {
  let server: RedisServer;
  let host: Host;
  let node: LockRuntime;
  let client: RedisClient;
  beforeAll(async () => {
    server = await RedisServer.start();
    host = await startHost({ url: server.url });
    node = new LockRuntime(
      host.app.get<RedisConnection>(getRedisConnectionToken()),
      resolveLockOptions({ commandTimeout: '5s' }),
    );
    client = server.client();
  });
  afterAll(async () => {
    await host.app.close();
    await server.stop();
  });
  beforeEach(() => server.flush());

  const locks = () => [node.keysOf('order:42')];
  const token = newToken();
  const round = (number: number, label = 'billing') => ownerOfRound(token, node.mailbox, label, number);
  const acquire = (owner: string, fence = 0) => quorumAcquire(node, locks(), owner, 20_000, fence);

  it('an owner tells its host and label whatever its round', () => {
    expect(parseOwner(round(12))).toMatchObject({ pid: process.pid, label: 'billing' });
    expect(round(9) < round(10)).toBe(true);
    expect(round(9).length).toBe(round(123_456).length);
  });

  it('a later round takes the place of an earlier one', async () => {
    expect(await acquire(round(9))).toMatchObject({ acquired: true });
    expect(await acquire(round(10))).toMatchObject({ acquired: true });
    expect(await client.get(key)).toBe(round(10));
  });

  it('an earlier round that arrives late changes nothing', async () => {
    await acquire(round(10));
    await client.pexpire(key, 5_000);
    expect(await acquire(round(9))).toMatchObject({ acquired: false, at: 0, holder: round(10) });
    expect(await client.get(key)).toBe(round(10));
    expect(await client.pttl(key)).toBeLessThanOrEqual(5_000);
  });

  it('the clearing up after an earlier round that arrives late takes nothing away', async () => {
    await acquire(round(10));
    expect(await quorumRelease(node, locks(), round(9), 20_000, 0)).toBe(false);
    expect(await client.get(key)).toBe(round(10));
  });

  it('another call is never taken for a round of this one', async () => {
    const other = ownerOfRound(newToken(), node.mailbox, 'billing', 1);
    await acquire(other);
    expect(await acquire(round(2))).toMatchObject({ acquired: false, at: 0, holder: other });
  });

  it('the token is written only where its owner still is, and never lowers one', async () => {
    await acquire(round(1));
    expect(await quorumFence(node, locks(), round(2), 20_000, 77)).toBe(false);
    expect(await client.exists(`${key}:fence`)).toBe(0);
    expect(await quorumFence(node, locks(), round(1), 20_000, 77)).toBe(true);
    expect(await client.get(`${key}:fence`)).toBe('77');
    expect(await quorumFence(node, locks(), round(1), 20_000, 70)).toBe(true);
    expect(await client.get(`${key}:fence`)).toBe('77');
    expect(await client.pttl(`${key}:fence`)).toBeGreaterThan(80_000_000);
  });

  it('several locks are taken together or not at all', async () => {
    const pair = [node.keysOf('a'), node.keysOf('b')];
    const other = ownerOfRound(newToken(), node.mailbox, undefined, 1);
    await quorumAcquire(node, [node.keysOf('b')], other, 20_000, 0);
    const refused = await quorumAcquire(node, pair, round(1), 20_000, 0);
    expect(refused).toMatchObject({ acquired: false, at: 1, holder: other });
    expect(await client.exists('shop:lock:{a}')).toBe(0);
  });
});
