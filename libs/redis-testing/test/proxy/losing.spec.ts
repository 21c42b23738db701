import { once } from 'node:events';
import { createConnection } from 'node:net';
import { eventually } from '../../src/index.js';
import { Proxied } from '../support/proxied.js';

describe('dropReply', () => {
  it('resets the connection in place of the reply, after the server has carried the command out', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const lost = rig.proxy.dropReply('incr', { thenReset: true });
    expect(await redis.set('other', 'value')).toBe('OK'); // another command is not touched
    expect(lost.injected).toBe(0);
    const reset = new Promise((resolve) => redis.once('close', resolve));
    await expect(redis.incr('counter')).rejects.toThrow();
    await reset;
    expect(lost.injected).toBe(1);
    expect(await rig.direct.get('counter')).toBe('1');
    expect(await redis.incr('counter')).toBe(2); // once only
  });

  it('leaves the connection open and silent otherwise: no other reply can be taken for the lost one', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const lost = rig.proxy.dropReply('SET');
    const answers: unknown[] = [];
    for (const asked of [redis.set('key', 'value'), redis.get('key')]) {
      asked.then(
        (answer) => answers.push(answer),
        () => undefined, // at the end of the test
      );
    }
    await eventually(async () => {
      expect(lost.injected).toBe(1);
      expect(await rig.direct.info('commandstats')).toContain('cmdstat_get:calls=1');
    });
    const another = await rig.client();
    await another.ping(); // the proxy has had its turn since
    expect(answers).toEqual([]);
    expect(redis.status).toBe('ready');
    expect(await rig.direct.get('key')).toBe('value');
    expect(await another.set('key', 'newer')).toBe('OK');
  });

  it('lets no byte of a later reply through on the silent connection', async () => {
    await using rig = await Proxied.start();
    const socket = createConnection({ host: rig.proxy.host, port: rig.proxy.port });
    try {
      let received = '';
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.write('PING\r\n');
      await eventually(() => received === '+PONG\r\n');
      rig.proxy.dropReply('SET');
      socket.write('SET key value\r\nGET key\r\n');
      await eventually(async () => {
        expect(await rig.direct.info('commandstats')).toContain('cmdstat_get:calls=1');
      });
      await (await rig.client()).ping(); // the proxy has had its turn since
      expect(received).toBe('+PONG\r\n');
    } finally {
      socket.destroy();
    }
  });

  it('finds the reply in the middle of a pipeline', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    rig.proxy.dropReply('SET', { thenReset: true });
    const before = redis.incr('before');
    const lost = redis.set('key', 'value');
    const after = redis.incr('after');
    const [first, second, third] = await Promise.allSettled([before, lost, after]);
    expect(first).toEqual({ status: 'fulfilled', value: 1 });
    expect([second.status, third.status]).toEqual(['rejected', 'rejected']);
    expect(await rig.direct.mget('key', 'after')).toEqual(['value', '1']);
  });

  it('strikes as often as asked, on whichever connection', async () => {
    await using rig = await Proxied.start();
    const [one, two] = [await rig.client(), await rig.client()];
    const lost = rig.proxy.dropReply('INCR', { times: 2, thenReset: true });
    await expect(one.incr('counter')).rejects.toThrow();
    await expect(two.incr('counter')).rejects.toThrow();
    expect(await one.incr('counter')).toBe(3);
    expect(lost.injected).toBe(2);
  });

  it('strikes again elsewhere when the connection ended before the reply came', async () => {
    await using rig = await Proxied.start();
    const [one, two] = [await rig.client(), await rig.client()];
    const lost = rig.proxy.dropReply('BLPOP', { thenReset: true });
    const blocked = one.blpop('list', 0);
    await eventually(() => rig.proxy.commands.get('BLPOP') === 1);
    one.disconnect();
    await expect(blocked).rejects.toThrow();
    await eventually(async () => {
      expect(await rig.direct.info('clients')).toContain('blocked_clients:0'); // or the item would go to the one that is gone
    });
    await rig.direct.rpush('list', 'item');
    await expect(two.blpop('list', 60)).rejects.toThrow();
    expect(lost.injected).toBe(1);
    expect(await rig.direct.llen('list')).toBe(0);
  });

  it('does nothing any more once it is stopped', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const lost = rig.proxy.dropReply('SET');
    lost.stop();
    expect(await redis.set('key', 'value')).toBe('OK');
    expect(lost.injected).toBe(0);
  });

  it('does not take a RESP3 push for the reply', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client({ protocol: 3 });
    await redis.call('CLIENT', 'TRACKING', 'ON', 'BCAST');
    const lost = rig.proxy.dropReply('SET', { thenReset: true });
    const blocked = redis.blpop('list', 60); // its reply comes before the one of SET
    const set = redis.set('key', 'value').catch((error: unknown) => error);
    await eventually(() => rig.proxy.commands.get('BLPOP') === 1);
    const direct = rig.direct;
    await direct.set('watched', '1'); // an invalidation push
    await direct.set('watched', '2');
    await direct.rpush('list', 'item');
    expect(await blocked).toEqual(['list', 'item']);
    expect(await set).toBeInstanceOf(Error);
    expect(lost.injected).toBe(1);
    expect(await direct.get('key')).toBe('value');
  });

  it.each([2, 3] as const)('keeps count across subscriptions and messages with RESP%i', async (protocol) => {
    await using rig = await Proxied.start();
    const redis = await rig.client({ protocol });
    const direct = rig.direct;
    const messages: string[] = [];
    redis.on('message', (_channel: string, text: string) => messages.push(text));
    await redis.subscribe('one', 'two');
    await direct.publish('one', 'hello');
    await direct.publish('two', 'world');
    await eventually(() => messages.length === 2);
    await redis.unsubscribe('one', 'two');
    const lost = rig.proxy.dropReply('INCR', { thenReset: true });
    expect(await redis.set('key', 'value')).toBe('OK');
    await expect(redis.incr('counter')).rejects.toThrow();
    expect(lost.injected).toBe(1);
  });
});

describe('reset', () => {
  it('resets the open connections, once', async () => {
    await using rig = await Proxied.start();
    const [one, two] = [await rig.client(), await rig.client()];
    const blocked = [one, two].map((redis) => redis.blpop('list', 0));
    await eventually(() => rig.proxy.commands.get('BLPOP') === 2);
    const fault = rig.proxy.reset();
    expect(fault.injected).toBe(2);
    for (const pop of blocked) await expect(pop).rejects.toThrow();
    expect(await one.ping()).toBe('PONG'); // connected again
    expect(fault.injected).toBe(2);
  });

  it('is a reset for the client, not a regular end', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client({ retryStrategy: () => null });
    const error = once(redis, 'error');
    rig.proxy.reset();
    expect(String(await error)).toContain('ECONNRESET');
  });
});

describe('resetAfterCommand', () => {
  it('resets the connection once the command has gone to the server, which carries it out', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const fault = rig.proxy.resetAfterCommand('SET');
    const before = redis.incr('before').catch(() => undefined);
    const cut = redis.set('key', 'value');
    const after = redis.incr('after');
    await expect(cut).rejects.toThrow();
    await expect(after).rejects.toThrow();
    await before;
    expect(fault.injected).toBe(1);
    await eventually(async () => {
      expect(await rig.direct.mget('before', 'key', 'after')).toEqual(['1', 'value', null]);
    });
    expect(await redis.set('key', 'newer')).toBe('OK');
    await eventually(() => rig.proxy.connections === 1);
  });
});

describe('refuse', () => {
  it('resets open connections and turns new ones away until it is stopped', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const fault = rig.proxy.refuse();
    expect(fault.injected).toBe(1);
    await expect(redis.ping()).rejects.toThrow();
    await eventually(() => fault.injected > 3); // it keeps trying to connect
    expect(rig.proxy.connections).toBe(0);
    fault.stop();
    await eventually(async () => {
      expect(await redis.ping()).toBe('PONG');
    });
  });
});
