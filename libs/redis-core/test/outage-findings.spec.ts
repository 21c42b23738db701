import { FaultProxy, RedisServer, eventually } from '@redstart/redis-testing';
import { inspect } from 'node:util';
import { OptionsError } from '../src/redis.errors.js';
import { defineScript } from '../src/script/define-script.js';
import { aCall, openConnection, rejectionOf } from './support/open-connection.js';

/** What ioredis does by default in an outage, each measured by others, and what a connection of ours does instead. */
describe('in an outage', () => {
  it('a call waits no longer than its budget (default of ioredis 6: 74 seconds)', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    await server.kill();
    // From here on nothing but the budget ends the call.
    await eventually(() => {
      expect(open.connection.client.status).not.toBe('ready');
    });
    const startedAt = performance.now();
    const error = await rejectionOf(open.connection.call({ ...aCall, budgetMs: 200 }, (client) => client.get('a')));
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE' });
  });

  it('even the raw client rejects soon', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    await server.kill();
    await eventually(() => {
      expect(open.connection.client.status).not.toBe('ready');
    });
    const startedAt = performance.now();
    expect(await rejectionOf(open.connection.client.get('a'))).toBeInstanceOf(Error);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });

  it('what timed out without a connection is never carried out later', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    await server.kill();
    await eventually(() => {
      expect(open.connection.client.status).not.toBe('ready');
    });
    const error = await rejectionOf(
      open.connection.call({ ...aCall, budgetMs: 50 }, (client) => client.set('late', 'yes')),
    );
    expect(error).toMatchObject({ outcome: 'not-executed' });
    await server.restart();
    await eventually(async () => {
      await expect(open.connection.call(aCall, (client) => client.ping())).resolves.toBe('PONG');
    });
    expect(await server.ask((redis) => redis.get('late'))).toBeNull();
  });

  it('what timed out on a stalled server is told to be unknown, since it may be carried out', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    server.pause();
    const error = await rejectionOf(
      open.connection.call({ ...aCall, budgetMs: 100 }, (client) => client.incr('counter')),
    );
    expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'unknown' });
    server.resume();
    await eventually(async () => {
      expect(await server.ask((redis) => redis.get('counter'))).toBe('1');
    });
  });

  it.each(['INCR', 'RPUSH', 'SET'] as const)('a lost reply of %s does not run it twice', async (name) => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url });
    const lost = proxy.dropReply(name, { thenReset: true });
    const error = await rejectionOf(
      open.connection.call(aCall, (client) =>
        client.call(name, ...(name === 'INCR' ? ['k'] : name === 'SET' ? ['k', '1', 'NX'] : ['k', 'x'])),
      ),
    );
    expect(lost.injected).toBe(1);
    expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'unknown' });
    await eventually(async () => {
      await expect(open.connection.call(aCall, (client) => client.ping())).resolves.toBe('PONG');
    });
    const ran = Number(/calls=(\d+)/.exec(await commandStats(server, name))?.[1]);
    expect(ran).toBe(1);
  });

  it('commands in flight reject when the connection breaks; none hangs', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url });
    const hole = proxy.blackhole();
    const inFlight = Array.from({ length: 10 }, () => rejectionOf(open.connection.client.get('a')));
    await eventually(() => {
      expect(hole.injected).toBeGreaterThan(0);
    });
    proxy.reset();
    expect((await Promise.all(inFlight)).every((error) => error instanceof Error)).toBe(true);
  });

  it('a connection that stays silent is replaced, and its commands reject (socketTimeout alone leaves them pending)', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url, socketTimeout: '200ms' });
    const hole = proxy.blackhole();
    expect(await rejectionOf(open.connection.client.get('a'))).toBeInstanceOf(Error);
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    await eventually(async () => {
      await expect(open.connection.client.ping()).resolves.toBe('PONG');
    });
  });

  it('a transaction with a script is whole even after SCRIPT FLUSH', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    const script = defineScript({
      name: 'spec:incr',
      keys: 1,
      lua: `return redis.call('INCR', KEYS[1])`,
      parse: Number,
    });
    await open.connection.scripts.run(aCall, script, ['n'], []);
    await open.connection.client.script('FLUSH');
    const multi = open.connection.client.multi();
    open.connection.scripts.addToTransaction(multi, script, ['n'], []);
    multi.incr('n');
    expect(await multi.exec()).toEqual([
      [null, 2],
      [null, 3],
    ]);
  });
});

describe('errors of ioredis', () => {
  it('lose their arguments, on every way out', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    const { client } = open.connection;
    await client.set('text', 'x');
    const single = await rejectionOf(client.lpush('text', 'S3CRET'));
    const [piped] = (await client.pipeline().lpush('text', 'S3CRET').exec()) ?? [];
    expect(inspect([single, piped?.[0]])).toContain('WRONGTYPE');
    expect(inspect([single, piped?.[0]], { depth: 10 })).not.toContain('S3CRET');
  });

  it('never show a malformed url', async () => {
    const error = await rejectionOf(openConnection({ url: 'redis://user:S3CRET@[::bad' }));
    expect(error).toBeInstanceOf(OptionsError);
    expect(inspect(error, { depth: 10 })).not.toContain('S3CRET');
  });
});

async function commandStats(server: RedisServer, name: string): Promise<string> {
  const stats = await server.ask((redis) => redis.info('commandstats'));
  return stats.split('\r\n').find((line) => line.startsWith(`cmdstat_${name.toLowerCase()}:`)) ?? '';
}
