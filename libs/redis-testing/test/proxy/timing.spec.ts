import { eventually, type FaultProxy } from '../../src/index.js';
import { Proxied } from '../support/proxied.js';

const timed = async (work: () => Promise<unknown>) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

describe('latency', () => {
  it('delays each reply by its ms until it is stopped', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const slow = rig.proxy.latency(80);
    expect(await timed(() => redis.ping())).toBeGreaterThanOrEqual(79);
    expect(slow.injected).toBe(1);
    slow.stop();
    await redis.ping();
    expect(slow.injected).toBe(1);
  });

  it('delays replies after the server has worked, requests before', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const direct = rig.direct;
    const replies = rig.proxy.latency(300);
    const first = redis.incr('counter');
    await eventually(
      async () => {
        expect(await direct.get('counter')).toBe('1'); // done, and the client does not know it
      },
      { within: 250 },
    );
    await first;
    replies.stop();

    const requests = rig.proxy.latency(150, { way: 'request' });
    const second = redis.incr('counter');
    await eventually(() => requests.injected === 1, { every: 1 });
    expect(await direct.get('counter')).toBe('1'); // on its way
    expect(await second).toBe(2);
  });

  it('keeps the order under jitter, which its seed determines', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    using jitter = rig.proxy.latency(0, { jitter: 30, seed: 7 });
    const order: number[] = [];
    const pings = Array.from({ length: 20 }, async (_unused, n) => {
      await redis.echo(String(n));
      order.push(n);
    });
    await Promise.all(pings);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(jitter.injected).toBeGreaterThan(0);

    const delays = (proxy: FaultProxy, seed: number) => {
      const fault = proxy.latency(0, { jitter: 1_000, seed }) as unknown as {
        delayMs(way: 'reply'): number;
        stop(): void;
      };
      const drawn = [1, 2, 3].map(() => fault.delayMs('reply'));
      fault.stop();
      return drawn;
    };
    expect(delays(rig.proxy, 7)).toEqual(delays(rig.proxy, 7));
    expect(delays(rig.proxy, 7)).not.toEqual(delays(rig.proxy, 8));
  });
});

describe('blackhole', () => {
  it('lets nothing through while connections stay open, and delivers it when it ends', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client({ commandTimeout: 100 });
    const hole = rig.proxy.blackhole();
    await expect(redis.set('key', 'late')).rejects.toThrow('Command timed out');
    expect(hole.injected).toBeGreaterThan(0);
    expect(redis.status).toBe('ready');
    expect(await rig.direct.get('key')).toBeNull();
    hole.stop();
    await eventually(async () => {
      expect(await rig.direct.get('key')).toBe('late');
    });
    expect(await redis.get('key')).toBe('late'); // the same connection goes on
  });

  it('hides the end of a connection from the server: it stays half open', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client({ connectionName: 'half-open' });
    const direct = rig.direct;
    expect(await direct.client('LIST')).toContain('name=half-open');
    const hole = rig.proxy.blackhole();
    redis.disconnect();
    await eventually(() => hole.injected > 0);
    expect(await direct.client('LIST')).toContain('name=half-open');
    hole.stop();
    await eventually(async () => {
      expect(await direct.client('LIST')).not.toContain('name=half-open');
    });
  });

  it('also holds replies that were on their way', async () => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const slow = rig.proxy.latency(50);
    const reply = redis.incr('counter');
    await eventually(() => slow.injected === 1, { every: 1 });
    const hole = rig.proxy.blackhole();
    await eventually(() => hole.injected === 1);
    let answered = false;
    void reply.then(() => (answered = true));
    expect(await rig.direct.get('counter')).toBe('1');
    expect(answered).toBe(false);
    hole.stop();
    expect(await reply).toBe(1);
  });
});

describe('slice', () => {
  it.each([1, 7])('cuts all traffic into packets of %i bytes, and nothing breaks', async (bytes) => {
    await using rig = await Proxied.start();
    const redis = await rig.client();
    const sliced = rig.proxy.slice(bytes);
    const value = 'é\r\n+OK\r\n'.repeat(30);
    await redis.set('key', value);
    expect(await redis.get('key')).toBe(value);
    expect(await redis.pipeline().get('key').ping().exec()).toEqual([
      [null, value],
      [null, 'PONG'],
    ]);
    expect(sliced.injected).toBeGreaterThan((3 * value.length) / bytes);
    sliced.stop();
    const before = sliced.injected;
    await redis.ping();
    expect(sliced.injected).toBe(before);
    expect(rig.proxy.commands.get('GET')).toBe(2);
  });
});
