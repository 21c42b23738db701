import { eventually, type FaultProxy } from '../../src/index.js';
import { Proxied } from '../support/proxied.js';

const timed = async (work: () => Promise<unknown>) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

/** Whether a promise has settled by now; it may reject at the end of the test. */
const settled = (promise: Promise<unknown>) => {
  const state = { done: false };
  const settle = () => {
    state.done = true;
  };
  promise.then(settle, settle);
  return state;
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
    const [direct, redis] = [rig.direct, await rig.client()];
    // Longer than any test: what is on its way stays on its way.
    const replies = rig.proxy.latency(600_000);
    const first = settled(redis.incr('counter'));
    await eventually(async () => {
      expect(await direct.get('counter')).toBe('1');
    });
    expect(first.done).toBe(false);
    replies.stop();

    const patient = await rig.client();
    const requests = rig.proxy.latency(600_000, { way: 'request' });
    const second = settled(patient.incr('counter'));
    await eventually(() => requests.injected === 1);
    expect(await direct.get('counter')).toBe('1');
    expect(second.done).toBe(false);
    requests.stop();

    const soon = await rig.client();
    rig.proxy.latency(20, { way: 'request' });
    expect(await soon.incr('counter')).toBe(2);
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
    const redis = await rig.client();
    const hole = rig.proxy.blackhole();
    const set = redis.set('key', 'late');
    const state = settled(set);
    await eventually(() => hole.injected > 0);
    expect(await rig.direct.get('key')).toBeNull();
    expect(state.done).toBe(false);
    expect(redis.status).toBe('ready');
    hole.stop();
    expect(await set).toBe('OK');
    expect(await rig.direct.get('key')).toBe('late');
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
    const slow = rig.proxy.latency(800); // the time to dig the hole
    const reply = redis.incr('counter');
    await eventually(() => slow.injected === 1, { every: 1 });
    const hole = rig.proxy.blackhole();
    await eventually(() => hole.injected === 1);
    const state = settled(reply);
    expect(await rig.direct.get('counter')).toBe('1');
    expect(state.done).toBe(false);
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
