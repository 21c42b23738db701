import {
  cluster,
  describeOn,
  FaultProxy,
  RedisCluster,
  RedisSentinel,
  RedisServer,
  eventually,
  sentinel,
  standalone,
} from '@redstart/redis-testing';
import { RedisConnection } from '../src/connection/redis-connection.js';
import { isCluster, mastersOf } from '../src/connection/cluster.js';
import { OptionsError, RedisCommandError, RedisUnavailableError } from '../src/redis.errors.js';
import { resolveRedisOptions } from '../src/redis.options.js';
import { aCall, openConnection, rejectionOf } from './support/open-connection.js';

/** ioredis listens to the first `error` of a socket only; the second would throw here, and end the process elsewhere. */
async function failTwice(connection: RedisConnection): Promise<void> {
  const { client } = connection;
  await connection.call(aCall, (redis) => redis.ping());
  const nodes = isCluster(client) ? mastersOf(client) : [client];
  const socket = nodes.find(({ status }) => status === 'ready')?.stream;
  if (socket === undefined) throw new Error('There is no connection.');
  socket.emit('error', new Error('the first'));
  socket.emit('error', new Error('the second'));
  socket.destroy();
  await eventually(() => connection.call(aCall, (redis) => redis.ping()));
}

describeOn(
  standalone,
  sentinel,
  cluster,
)('a connection', (redis) => {
  it('sends calls and returns their replies', async () => {
    await using open = await openConnection(redis.connection);
    const key = open.connection.keys.tagged('item', 1)();
    await open.connection.call(aCall, (client) => client.set(key, 'value', 'PX', 60_000));
    expect(await redis.client().get('spec:item:{1}')).toBe('value');
  });

  it('rejects an error reply as a typed error', async () => {
    await using open = await openConnection(redis.connection);
    const key = open.connection.keys.tagged('item', 2)();
    await open.connection.call(aCall, (client) => client.set(key, 'text'));
    const error = await rejectionOf(open.connection.call(aCall, (client) => client.lpush(key, 'S3CRET')));
    expect(error).toBeInstanceOf(RedisCommandError);
    expect(error).toMatchObject({ reason: 'WRONGTYPE' });
  });

  it('survives a socket with two errors', async () => {
    await using open = await openConnection(redis.connection);
    await failTwice(open.connection);
  });

  it('passes an error of the caller unchanged', async () => {
    await using open = await openConnection(redis.connection);
    const own = new TypeError('mine');
    expect(await rejectionOf(open.connection.call(aCall, () => Promise.reject(own)))).toBe(own);
  });

  it('gives out blocking connections that hold up nobody, not even the shutdown', async () => {
    const open = await openConnection(redis.connection);
    const reader = open.connection.blocking();
    const blocked = rejectionOf(reader.blpop(open.connection.keys.tagged('queue', 1)(), 0));
    await eventually(() => {
      expect(reader.status).toBe('ready');
    });
    await open.connection.call(aCall, (client) => client.ping());
    await open.connection.close();
    expect(await blocked).toMatchObject({ message: 'Connection is closed.' });
  });

  it('rejects calls after it was closed, at once', async () => {
    const open = await openConnection(redis.connection);
    await open.connection.close();
    await open.connection.close();
    const error = await rejectionOf(open.connection.call(aCall, (client) => client.ping()));
    expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'not-executed' });
  });

  it('tells what the server can do, and asks anew after a reconnect', async () => {
    await using open = await openConnection(redis.connection);
    const { capabilities } = open.connection;
    expect(await capabilities.has('XAUTOCLAIM')).toBe(true);
    expect(await capabilities.has('NOSUCHCOMMAND')).toBe(false);
    const asked = async () => {
      const stats = await Promise.all(mastersOf(open.connection.client).map((master) => master.info('commandstats')));
      return stats.reduce((sum, text) => sum + Number(/cmdstat_command\|info:calls=(\d+)/.exec(text)?.[1] ?? 0), 0);
    };
    const before = await asked();
    expect(await capabilities.has('XAUTOCLAIM')).toBe(true);
    expect(await asked()).toBe(before);
    open.connection.client.emit('close');
    expect(await capabilities.has('XAUTOCLAIM')).toBe(true);
    expect(await asked()).toBeGreaterThan(before);
  });
});

describe('start-up', () => {
  it('waits for a server that comes up late', async () => {
    await using server = await RedisServer.start();
    await server.kill();
    const opening = openConnection({ url: server.url });
    await server.restart();
    await using open = await opening;
    await expect(open.connection.call(aCall, (client) => client.ping())).resolves.toBe('PONG');
  });

  it('fails after startupTimeout with host, port and cause, and without the password', async () => {
    await using server = await RedisServer.start();
    await server.kill();
    const url = `redis://:S3CRET@127.0.0.1:${server.port}`;
    // Long enough for a first attempt, so that there is a cause.
    const error = await rejectionOf(openConnection({ url, startupTimeout: '2s' }));
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(String(error)).toMatch(
      new RegExp(`127\\.0\\.0\\.1:${server.port} .*2000 ms.*ECONNREFUSED.*startup: 'lazy'`),
    );
    expect(String(error)).not.toContain('S3CRET');
  });

  it('fails at once, and loudly, on a wrong password', async () => {
    await using server = await RedisServer.start({ password: 'right' });
    const url = `redis://:WRONG-S3CRET@127.0.0.1:${server.port}`;
    const startedAt = performance.now();
    const error = await rejectionOf(openConnection({ url, startupTimeout: '30s' }));
    expect(error).toBeInstanceOf(OptionsError);
    expect(String(error)).toMatch(/refuses the connection: WRONGPASS/);
    expect(String(error)).not.toContain('S3CRET');
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  it('does not wait with startup lazy; the first calls do, within their budget', async () => {
    await using server = await RedisServer.start();
    await server.kill();
    await using open = await openConnection({ url: server.url, startup: 'lazy' });
    const error = await rejectionOf(open.connection.call({ ...aCall, budgetMs: 100 }, (client) => client.ping()));
    expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'not-executed' });
    await server.restart();
    await eventually(async () => {
      await expect(open.connection.call(aCall, (client) => client.ping())).resolves.toBe('PONG');
    });
  });

  it.each(['wait', 'lazy'] as const)('never works in another database than the one asked for (%s)', async (startup) => {
    await using server = await RedisServer.start();
    const opening = openConnection({ url: `${server.url}/99`, startup });
    const failure =
      startup === 'wait'
        ? await rejectionOf(opening)
        : await opening.then(async (open) => {
            const refused = await eventually(async () => {
              const error = await rejectionOf(
                open.connection.call({ ...aCall, budgetMs: 300 }, (client) => client.set('a', 'wrong place')),
              );
              expect(String(error)).toContain('ERR'); // What the server has answered to the first attempt to connect.
              return error;
            });
            await open.connection.close();
            return refused;
          });
    expect(String(failure)).toMatch(/DB index is out of range/);
    expect(await server.ask((redis) => redis.dbsize())).toBe(0);
  });

  it('says with every call of a lazy start why there is no connection', async () => {
    await using server = await RedisServer.start({ password: 'right' });
    await using open = await openConnection({ url: `redis://:wrong@127.0.0.1:${server.port}`, startup: 'lazy' });
    const refused = () => rejectionOf(open.connection.call({ ...aCall, budgetMs: 300 }, (client) => client.ping()));
    await eventually(async () => {
      expect(String(await refused())).toContain('WRONGPASS'); // The server has answered.
    });
    const errors = await Promise.all(Array.from({ length: 64 }, refused));
    for (const error of errors) {
      expect(String(error)).toMatch(/spec\.call: no connection to Redis at 127\.0\.0\.1:\d+ within 300 ms \(WRONGPASS/);
    }
    // All of them wait on the same promise: sixty-four callers are not sixty-four listeners.
    expect(open.connection.client.listenerCount('ready')).toBeLessThan(5);
  });

  it('fails at once on a wrong password of a Cluster', async () => {
    await using node = await RedisServer.start({ password: 'right', args: ['--cluster-enabled', 'yes'] });
    const { host, port } = node;
    const error = await rejectionOf(
      openConnection({ cluster: [{ host, port }], password: 'S3CRET', startupTimeout: '30s' }),
    );
    expect(error).toBeInstanceOf(OptionsError);
    expect(String(error)).toMatch(/WRONGPASS/);
    expect(String(error)).not.toContain('S3CRET');
  });

  it('fails on an unreachable Cluster with its addresses', async () => {
    const error = await rejectionOf(
      openConnection({ cluster: [{ host: '127.0.0.1', port: 1 }], startupTimeout: '300ms' }),
    );
    expect(String(error)).toMatch(/Redis Cluster at 127\.0\.0\.1:1 could not be reached within 300 ms/);
  });

  it('verifies the certificate of a TLS server', async () => {
    await using server = await RedisServer.start({ tls: true });
    const error = await rejectionOf(openConnection({ url: server.url, startupTimeout: '2s' }));
    expect(String(error)).toMatch(/self-signed|certificate/i);
    await using open = await openConnection({ url: server.url, tls: { ca: server.tls?.ca ?? '' } });
    await expect(open.connection.call(aCall, (client) => client.ping())).resolves.toBe('PONG');
    await failTwice(open.connection);
  });
});

describe('a client of the user', () => {
  it('serves the calls, is duplicated for the rest, and is left open', async () => {
    await using server = await RedisServer.start();
    const own = server.client();
    const open = await openConnection({ client: own });
    expect(open.connection.client).toBe(own);
    const reader = open.connection.blocking();
    expect(reader).not.toBe(own);
    await open.connection.call(aCall, (client) => client.ping());
    await open.connection.close();
    expect(own.status).toBe('ready');
    await expect(own.ping()).resolves.toBe('PONG');
  });
});

describe('readFrom: replica', () => {
  it('reads from a replica of a Sentinel, and writes to the master', async () => {
    await using servers = await RedisSentinel.start();
    await using open = await openConnection({
      sentinels: [...servers.sentinels],
      masterName: servers.masterName,
      readFrom: 'replica',
    });
    const { client } = open.connection;
    await eventually(() => {
      expect(open.connection.reader).not.toBe(client);
    });
    expect(await open.connection.reader.info('replication')).toMatch(/role:slave/);
    expect(await client.info('replication')).toMatch(/role:master/);
  });

  it('reads from replicas of a Cluster, and writes to its masters', async () => {
    // A replica is told of once it has heard of its master: when something was written, or by this.
    await using servers = await RedisCluster.start({ replicas: 1, args: ['--repl-ping-replica-period', '1'] });
    // A young Cluster takes a moment to tell all its nodes of the replicas, and clients ask now this one and now that one.
    await eventually(async () => {
      const told = await Promise.all(servers.servers.map((server) => server.ask((redis) => redis.cluster('SLOTS'))));
      expect(told.flat().map((slots) => slots.length)).toEqual(Array(18).fill(4)); // From, to, the master and its replica.
    });
    await using open = await openConnection({
      cluster: [...servers.nodes],
      readFrom: 'replica',
      ioredis: { slotsRefreshInterval: 100 },
    });
    const { client, keys } = open.connection;
    const key = keys.tagged('item', 'replicated')();
    await client.set(key, 'value');
    await eventually(() => {
      const { reader } = open.connection;
      expect(reader).not.toBe(client);
      expect(isCluster(reader) && reader.nodes('slave').length).toBe(3);
    });
    const masters = await servers.masters();
    const readsOf = async (asked: readonly RedisServer[]) => {
      const stats = await Promise.all(asked.map((server) => server.ask((redis) => redis.info('commandstats'))));
      return stats.reduce((sum, text) => sum + Number(/cmdstat_get:calls=(\d+)/.exec(text)?.[1] ?? 0), 0);
    };
    const replicas = servers.servers.filter((server) => !masters.includes(server));
    expect(await readsOf([...masters, ...replicas])).toBe(0);
    await eventually(async () => {
      expect(await open.connection.reader.get(key)).toBe('value');
    });
    expect(await readsOf(masters)).toBe(0);
    expect(await readsOf(replicas)).toBeGreaterThan(0);
  }, 90_000);

  it('is the master connection itself where it was not asked for', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    expect(open.connection.reader).toBe(open.connection.client);
  });
});

describe('shutdown', () => {
  it('cuts a connection whose server does not say goodbye', async () => {
    await using server = await RedisServer.start();
    const connection = new RedisConnection(
      resolveRedisOptions({ namespace: 'spec', url: server.url, shutdownTimeout: '100ms' }),
    );
    await connection.connect();
    server.pause();
    try {
      await connection.close();
      await eventually(() => {
        expect(connection.client.status).toBe('end'); // without a word of the server
      });
    } finally {
      server.resume();
    }
  });

  it('ends a connection that is trying to reconnect', async () => {
    await using server = await RedisServer.start();
    const open = await openConnection({ url: server.url });
    await server.kill();
    await eventually(() => {
      expect(open.connection.client.status).toBe('reconnecting');
    });
    await open.connection.close();
    expect(open.connection.client.status).toBe('end');
  });
});

describeOn(cluster)('shutdown in the middle of a look at the slots', (redis) => {
  it('is the end of looking, so that nothing keeps the process alive', async () => {
    const open = await openConnection({ ...redis.connection, ioredis: { slotsRefreshInterval: 10 } });
    const { client } = open.connection;
    if (!isCluster(client)) throw new Error('It is a Cluster.');
    const looks: (() => void)[] = [];
    client.refreshSlotsCache = (answered) => {
      looks.push(() => answered?.());
    };
    await eventually(() => looks.length === 1);
    await open.connection.close();
    looks[0]?.(); // What it had asked is answered.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(looks).toHaveLength(1);
  });
});

describe('the breaker', () => {
  it('makes a long outage cost nothing: a call is refused at once, and nothing is sent', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url, breaker: { failures: 3, openFor: '10m' } });
    let sent = 0;
    const ping = (budgetMs: number) =>
      rejectionOf(
        open.connection.call({ ...aCall, budgetMs }, (client) => {
          sent += 1;
          return client.ping();
        }),
      );
    const hole = proxy.blackhole();
    for (let call = 0; call < 3; call += 1) expect(await ping(60)).toMatchObject({ outcome: 'unknown' });
    expect(open.connection.breakerState).toBe('open');
    // Only the breaker can end this one within the time of a test.
    expect(await ping(600_000)).toMatchObject({ outcome: 'not-executed' });
    expect(sent).toBe(3);
    expect(hole.injected).toBeGreaterThan(0);
  });

  it('refuses nothing that is essential: a lease is renewed as soon as Redis answers, whenever the next probe comes', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url, breaker: { failures: 1, openFor: '10m' } });
    const ping = (essential: boolean, budgetMs: number = aCall.budgetMs) =>
      open.connection.call({ ...aCall, essential, budgetMs }, (client) => client.ping());
    const hole = proxy.blackhole();
    await rejectionOf(ping(true, 60));
    expect(open.connection.breakerState).toBe('open');
    // It waits for as long as it may, and no longer.
    expect(await rejectionOf(ping(true, 60))).toMatchObject({ outcome: 'unknown' });
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    await expect(ping(true)).resolves.toBe('PONG');
    expect(await rejectionOf(ping(false))).toMatchObject({ outcome: 'not-executed' });
  });

  it('closes also when only essential calls are made', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url, breaker: { failures: 1, openFor: '50ms' } });
    const ping = (budgetMs: number) =>
      open.connection.call({ ...aCall, essential: true, budgetMs }, (client) => client.ping());
    const hole = proxy.blackhole();
    await rejectionOf(ping(60));
    expect(open.connection.breakerState).not.toBe('closed');
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    await eventually(async () => {
      await expect(ping(aCall.budgetMs)).resolves.toBe('PONG');
      expect(open.connection.breakerState).toBe('closed');
    });
  });

  it('lets calls through again when Redis is back', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url, breaker: { failures: 1, openFor: '50ms' } });
    const hole = proxy.blackhole();
    await rejectionOf(open.connection.call({ ...aCall, budgetMs: 60 }, (client) => client.ping()));
    expect(open.connection.breakerState).not.toBe('closed');
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    await eventually(async () => {
      await expect(open.connection.call(aCall, (client) => client.ping())).resolves.toBe('PONG');
      expect(open.connection.breakerState).toBe('closed');
    });
  });

  it('takes a connection that breaks with many calls in flight for one failure', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url, breaker: { failures: 5, openFor: '30s' } });
    const hole = proxy.blackhole();
    const inFlight = Array.from({ length: 64 }, () =>
      rejectionOf(open.connection.call(aCall, (client) => client.get('a'))),
    );
    await eventually(() => {
      expect(hole.injected).toBeGreaterThan(0);
    });
    hole.stop();
    proxy.reset();
    await Promise.all(inFlight);
    expect(open.connection.breakerState).toBe('closed');
    await expect(open.connection.call(aCall, (client) => client.ping())).resolves.toBe('PONG');
  });

  it('closes as soon as the connection is ready again, however long it was to stay open', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url, breaker: { failures: 1, openFor: '60s' } });
    await server.kill();
    await eventually(async () => {
      await rejectionOf(open.connection.call({ ...aCall, budgetMs: 30 }, (client) => client.ping()));
      expect(open.connection.breakerState).toBe('open');
    });
    await server.restart();
    await eventually(async () => {
      await expect(open.connection.call(aCall, (client) => client.ping())).resolves.toBe('PONG');
    });
  });

  it('sends one probe at a time while it is half open', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url, breaker: { failures: 1, openFor: '20ms' } });
    proxy.blackhole();
    const ping = (budgetMs: number) =>
      rejectionOf(open.connection.call({ ...aCall, budgetMs }, (client) => client.ping()));
    await ping(20);
    await eventually(async () => {
      let sent = 0;
      const probes = Array.from({ length: 50 }, () =>
        rejectionOf(
          open.connection.call({ ...aCall, budgetMs: 50 }, (client) => {
            sent += 1;
            return client.ping();
          }),
        ),
      );
      await Promise.all(probes);
      expect(sent).toBe(1);
    });
  });

  it('is not opened by a pause of this process', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url, breaker: { failures: 1 } });
    // Enough for a busy server; the pause is longer.
    const calls = Array.from({ length: 20 }, () =>
      open.connection.call({ ...aCall, budgetMs: 2_500 }, (client) => client.ping()),
    );
    await new Promise(setImmediate); // What was asked is on its way.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_500);
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['PONG']));
    expect(open.connection.breakerState).toBe('closed');
  });

  it('is not opened by errors that are answers', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url, breaker: { failures: 1 } });
    await rejectionOf(open.connection.call(aCall, (client) => client.call('NOSUCHCOMMAND')));
    await expect(open.connection.call(aCall, (client) => client.ping())).resolves.toBe('PONG');
    expect(open.connection.breakerState).toBe('closed');
  });
});
