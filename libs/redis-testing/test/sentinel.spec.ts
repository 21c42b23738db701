import { eventually, RedisSentinel, SentinelNotReadyError } from '../src/index.js';
import { exists } from './support/observe.js';

describe('a master that sentinels watch', () => {
  it('is found by the client, and followed to the new master after each failover', async () => {
    await using redis = await RedisSentinel.start();
    const client = redis.client();
    const first = redis.master;
    await client.set('key', 'value');
    await client.wait(1, 30_000);

    const second = await redis.failover();
    expect(second).not.toBe(first);
    expect(redis.master).toBe(second);
    expect(exists(first.pid)).toBe(false);
    expect(await client.get('key')).toBe('value');
    expect(await client.set('key', 'newer')).toBe('OK');
    await expect(redis.failover()).rejects.toThrow(SentinelNotReadyError);

    await redis.rejoin();
    expect(redis.replica).toBe(first);
    expect(await redis.failover()).toBe(first);
    expect(await client.get('key')).toBe('newer');
  }, 150_000);

  it('is followed when the failover was not ours, also by flush', async () => {
    await using redis = await RedisSentinel.start({ downAfter: 500 });
    const [old, next] = [redis.master, redis.replica];
    await eventually(async () => {
      expect(await next.ask((replica) => replica.info('replication'))).toContain('master_link_status:up');
    });
    await old.kill();
    const client = redis.client();
    await eventually(
      async () => {
        await client.set('key', 'value');
      },
      { within: 40_000 },
    );
    await eventually(async () => {
      await redis.flush();
      expect(redis.master).toBe(next);
      expect(await client.get('key')).toBeNull();
    });
  }, 150_000);

  it('takes as many sentinels as asked for, which know each other and are gone after stop', async () => {
    const redis = await RedisSentinel.start({ sentinels: 5 });
    expect(redis.sentinels).toHaveLength(5);
    const pids: number[] = [redis.master.pid, redis.replica.pid];
    await redis.stop();
    expect(pids.some(exists)).toBe(false);
  });
});
