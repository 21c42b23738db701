import { once } from 'node:events';
import { createConnection } from 'node:net';
import { Redis } from 'ioredis';
import { eventually, FaultNotPossibleError, FaultProxy, RedisServer } from '../../src/index.js';
import { Proxied } from '../support/proxied.js';

describe('without a fault, the proxy', () => {
  it('passes everything, big or small, pipelined or not', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const big = 'x'.repeat(20_000_000);
    await redis.set('big', big);
    expect((await redis.get('big')) === big).toBe(true);
    const pipeline = redis.pipeline();
    for (let n = 0; n < 1_000; n++) pipeline.set(`key:${n}`, n).get(`key:${n}`);
    const results = (await pipeline.exec()) ?? [];
    expect(results.map(([, result]) => result)).toEqual(
      Array.from({ length: 1_000 }, (_unused, n) => ['OK', String(n)]).flat(),
    );
  });

  it('counts commands by name, and connections', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    rig.proxy.commands.clear();
    await redis.pipeline().set('a', 1).get('a').get('b').exec();
    await redis.call('get', 'a');
    expect(Object.fromEntries(rig.proxy.commands)).toEqual({ SET: 1, GET: 3 });
    expect(rig.proxy.connections).toBe(1);
    const second = await rig.client();
    expect(rig.proxy.connections).toBe(2);
    second.disconnect();
    await eventually(() => rig.proxy.connections === 1);
  });

  it.each([2, 3] as const)('passes subscriptions and blocking commands with RESP%i', async (protocol) => {
    await using rig = await Proxied.start();
    const subscriber = await rig.client({ protocol });
    const messages: string[] = [];
    subscriber.on('message', (_channel: string, text: string) => messages.push(text));
    await subscriber.subscribe('news', 'sport');
    await rig.direct.publish('news', 'hello');
    await eventually(() => messages.includes('hello'));

    const blocking = await rig.client({ protocol });
    const popped = blocking.blpop('list', 60);
    await rig.direct.rpush('list', 'item');
    expect(await popped).toEqual(['list', 'item']);
  });

  it('reaches the server anew after it was restarted', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client({ maxRetriesPerRequest: null });
    await rig.server.restart();
    expect(await redis.set('key', 'value')).toBe('OK');
  });

  it('closes the client when the server cannot be reached', async () => {
    await using rig = await Proxied.start();
    await rig.server.kill();
    const socket = createConnection({ host: rig.proxy.host, port: rig.proxy.port });
    await expect(once(socket, 'close')).rejects.toThrow('ECONNRESET');
    await eventually(() => rig.proxy.connections === 0);
  });

  it('carries the password and TLS of its server, where it cannot read commands', async () => {
    await using server = await RedisServer.start({ password: 'secret', tls: true });
    await using proxy = await FaultProxy.start(server);
    const redis = new Redis(proxy.url, { tls: { ca: server.tls?.ca ?? '' } });
    try {
      expect(await redis.ping()).toBe('PONG');
      expect(() => proxy.dropReply('SET')).toThrow(FaultNotPossibleError);
      expect(() => proxy.resetAfterCommand('SET')).toThrow(FaultNotPossibleError);
    } finally {
      redis.disconnect();
    }
  });

  it('closes all sockets and its port at stop; twice does no harm', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client({ retryStrategy: () => null });
    const ended = new Promise((resolve) => redis.once('end', resolve));
    rig.proxy.blackhole();
    await rig.proxy.stop();
    await rig.proxy.stop();
    await ended;
    expect(rig.proxy.connections).toBe(0);
    const direct = rig.direct; // One for all attempts: each of its own would be on the list of the next.
    await eventually(async () => {
      expect(await direct.client('LIST')).not.toMatch(/\n[^]*\n/); // only the direct connection is left
    });
    // The system may have lent the port to somebody else already: hardly to all of these.
    await eventually(async () => {
      const proxy = await FaultProxy.start(rig.server);
      const address = { host: proxy.host, port: proxy.port };
      const open = createConnection(address).on('error', () => undefined);
      await once(open, 'connect');
      proxy.blackhole();
      await proxy.stop();
      const socket = createConnection(address);
      await expect(once(socket, 'connect').finally(() => socket.destroy())).rejects.toThrow('ECONNREFUSED');
    });
  });
});
