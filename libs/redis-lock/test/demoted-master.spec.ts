import { eventually, FaultProxy, RedisServer } from '@redstart/redis-testing';
import { startHost, watch } from './support.js';

/**
 * A failover that cuts no connection: a name leads to another server from now on, and whoever is connected stays where he is. The former master is a replica now, and
 * repeats to its listeners what the present one publishes.
 */
describe('a waiter that listens to a former master', () => {
  it('is not told of a lock that the present one has not given to it', async () => {
    await using former = await RedisServer.start();
    await using present = await RedisServer.start({ args: ['--replicaof', former.host, `${former.port}`] });
    const name = { host: former.host, port: former.port, url: former.url };
    await using proxy = await FaultProxy.start(name);
    await using holder = await startHost({ url: former.url });
    await using host = await startHost({ url: proxy.url }, { queueLease: '15s' });
    /** The other one has all that this one has. */
    const confirmed = (master: RedisServer) =>
      eventually(
        async () => {
          const replicas = await master.ask(async (redis) => {
            await redis.incr('confirmed'); // WAIT is for what its connection has written, and all before.
            return redis.wait(1, 500);
          });
          expect(replicas).toBe(1);
        },
        { within: 20_000 },
      );
    await confirmed(former);

    await holder.locks.acquire('order:42', { ttl: '5m' });
    const waiting = host.locks.acquire('order:42');
    const granted = watch(waiting);
    await eventually(async () => {
      expect((await holder.locks.inspect('order:42'))?.waiting).toBe(1);
      expect(await former.ask((redis) => redis.pubsub('CHANNELS', 'shop:lock:wake:*'))).toHaveLength(1);
    });
    await confirmed(former);

    name.port = present.port;
    await present.ask((redis) => redis.replicaof('NO', 'ONE'));
    await former.ask((redis) => redis.replicaof(present.host, present.port));
    await using next = await startHost({ url: present.url });
    await confirmed(present);
    expect((await next.locks.inspect('order:42'))?.waiting).toBe(1);
    await next.locks.forceRelease('order:42');
    const lock = await next.locks.tryAcquire('order:42');
    expect(lock?.isHeld).toBe(true);
    await confirmed(present);
    await host.locks.isLocked('order:43').catch(() => undefined); // A round trip: whatever was said has been heard.
    expect(granted.settled).toBe(false);

    await lock?.release();
    await (await waiting).release();
  }, 90_000);
});
