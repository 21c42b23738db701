import { jest } from '@jest/globals';
import type { Redis } from 'ioredis';
import { eventually, FaultProxy, RedisCluster, RedisSentinel } from '@redstart/redis-testing';
import { aCall, openConnection, rejectionOf } from './support/open-connection.js';

/** Whether Redis has answered the subscription. */
const isSubscribed = (redis: Redis): boolean =>
  Boolean((Reflect.get(redis, 'condition') as { subscriber?: object | false } | null)?.subscriber);

const openSockets = () => process.getActiveResourcesInfo().filter((resource) => resource === 'TCPSocketWrap').length;

describe('a Sentinel failover', () => {
  it('is survived without a restart, and leaves no socket open in the end', async () => {
    await using servers = await RedisSentinel.start();
    const before = openSockets();
    const { connection } = await openConnection({
      sentinels: [...servers.sentinels],
      masterName: servers.masterName,
    });
    await connection.call(aCall, (client) => client.set('key', 'value'));
    await servers.failover();
    await eventually(
      async () => {
        await expect(connection.call(aCall, (client) => client.set('key', 'after'))).resolves.toBe('OK');
      },
      { within: 40_000 },
    );
    await connection.close();
    await eventually(() => {
      expect(openSockets()).toBeLessThanOrEqual(before);
    });
  }, 120_000);
});

describe('a sentinel that does not answer', () => {
  it('costs a timeout, and a failover announced meanwhile does not end the connection', async () => {
    await using servers = await RedisSentinel.start({ sentinels: 1 });
    const [sentinel] = servers.sentinels;
    if (sentinel === undefined) throw new Error('There is no sentinel.');
    await using proxy = await FaultProxy.start(sentinel);
    await using open = await openConnection({
      sentinels: [proxy],
      masterName: servers.masterName,
      connectTimeout: 500,
    });
    const { connection } = open;
    await eventually(() => {
      expect(proxy.commands.get('SUBSCRIBE')).toBeGreaterThan(0); // to hear of failovers
    });
    const connector = Reflect.get(connection.client, 'connector') as { disconnect(): void };
    const callOff = jest.spyOn(connector, 'disconnect');
    const silence = proxy.dropReply('SENTINEL', { times: Infinity });
    await servers.failover();
    await eventually(
      () => {
        expect(callOff).toHaveBeenCalled(); // by the announcement, while a sentinel is being asked
        expect(silence.injected).toBeGreaterThan(0);
      },
      { within: 40_000 },
    );
    silence.stop();
    await eventually(() => expect(connection.call(aCall, (client) => client.set('key', 'after'))).resolves.toBe('OK'), {
      within: 40_000,
    });
  }, 120_000);
});

describe('the connection to a sentinel', () => {
  it('may have two errors, which end neither the process nor the connection, and hears of failovers again', async () => {
    await using servers = await RedisSentinel.start({ sentinels: 1 });
    const [sentinel] = servers.sentinels;
    if (sentinel === undefined) throw new Error('There is no sentinel.');
    await using proxy = await FaultProxy.start(sentinel);
    await using open = await openConnection({ sentinels: [proxy], masterName: servers.masterName });
    const { client } = open.connection;
    const detector = await eventually(() => {
      const connector = Reflect.get(client, 'connector') as { failoverDetector?: { sentinels: { client: Redis }[] } };
      const watching = connector.failoverDetector?.sentinels[0]?.client;
      // A subscription still in flight would be sent again by ioredis itself.
      if (watching === undefined || !isSubscribed(watching)) throw new Error('Nobody listens to the sentinel yet.');
      return watching;
    });
    const { stream } = detector;
    const printed = jest.spyOn(console, 'error');
    stream.emit('error', new Error('the first'));
    stream.emit('error', new Error('the second'));
    stream.destroy();
    await eventually(() => {
      expect(detector.stream).not.toBe(stream);
      expect(isSubscribed(detector)).toBe(true);
      expect(proxy.commands.get('SUBSCRIBE')).toBe(2);
    });
    expect(printed).not.toHaveBeenCalled();
    printed.mockRestore();
    await expect(open.connection.call(aCall, (redis) => redis.ping())).resolves.toBe('PONG');
  }, 120_000);
});

describe('the death of a master of a Cluster', () => {
  it('rejects what was in flight at once, instead of sending it again', async () => {
    await using servers = await RedisCluster.start({ masters: 3, replicas: 0 });
    await using open = await openConnection({ cluster: [...servers.nodes] });
    const key = open.connection.keys.tagged('counter', 'doomed')();
    await open.connection.call(aCall, (client) => client.get(key));
    const master = await servers.nodeOf(key);
    master.pause();
    // Nothing but the end of the connection ends it within the time of this test.
    const inFlight = rejectionOf(open.connection.call({ ...aCall, budgetMs: 600_000 }, (client) => client.incr(key)));
    await new Promise(setImmediate); // It is on its way.
    await master.kill();
    expect(await inFlight).toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'unknown' });
    // No other master was asked: a command that is sent again goes to one of them, and is told to move.
    const others = servers.servers.filter((server) => server !== master);
    const stats = await Promise.all(others.map((server) => server.ask((redis) => redis.info('commandstats'))));
    expect(stats.join()).not.toContain('cmdstat_incr');
  }, 120_000);

  it('leaves the other masters usable', async () => {
    await using servers = await RedisCluster.start({
      masters: 3,
      replicas: 0,
      args: ['--cluster-require-full-coverage', 'no'],
    });
    await using open = await openConnection({ cluster: [...servers.nodes] });
    const { connection } = open;
    const keys = Array.from({ length: 30 }, (_, index) => connection.keys.tagged('item', index)());
    await Promise.all(keys.map((key) => connection.call(aCall, (client) => client.get(key))));
    const doomed = await servers.nodeOf(keys[0] ?? '');
    const living: string[] = [];
    for (const key of keys) if ((await servers.nodeOf(key)) !== doomed) living.push(key);
    await doomed.kill();
    await eventually(
      async () => {
        const reads = living.map((key) => connection.call(aCall, (client) => client.set(key, 'x')));
        expect(new Set(await Promise.all(reads))).toEqual(new Set(['OK']));
      },
      { within: 40_000 },
    );
  }, 120_000);
});
