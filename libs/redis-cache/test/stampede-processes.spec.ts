import { join } from 'node:path';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { Programs, type Instance } from '@redstart/redis-testing/programs';

describeOn(standalone, cluster)('one cold key, two processes with 250 callers each', (redis) => {
  let instances: Programs;
  beforeAll(async () => {
    instances = await Programs.compile(join(import.meta.dirname, '..'), 'test/processes');
  }, 60_000);
  afterAll(() => instances[Symbol.asyncDispose]());

  const start = (loadMs: number, leaseMs: number) =>
    instances.start('test/processes/caller-instance', { connection: redis.connection, callers: 250, loadMs, leaseMs });

  async function ready(...all: Instance[]) {
    for (const instance of all) await instance.tells('ready', 60_000);
  }

  it.each([
    ['a short one', 50, 10_000],
    // A renewal every second: one may be late.
    ['one that outlasts its lease three times', 9_500, 3_000],
  ])(
    'is loaded exactly once by a loader: %s',
    async (_, loadMs, leaseMs) => {
      await using one = start(loadMs, leaseMs);
      await using two = start(loadMs, leaseMs);
      await ready(one, two);
      one.send('call');
      two.send('call');
      const served = [await one.tells('served', 60_000), await two.tells('served', 60_000)];
      expect(served.map(({ loads }) => Number(loads)).toSorted()).toEqual([0, 1]);
      const [value] = served.map(({ values }) => values);
      expect(served.map(({ values }) => values)).toEqual([value, value]);
      expect(value).toHaveLength(1);
    },
    90_000,
  );

  it('is loaded once more when the loading process is killed, within the lease', async () => {
    const leaseMs = 3_000;
    await using one = start(60_000, leaseMs);
    await ready(one);
    one.send('call');
    await one.tells('loading');
    await using two = start(50, leaseMs);
    await using three = start(50, leaseMs);
    await ready(two, three);
    two.send('call');
    three.send('call');
    // Both of them wait: the lease says that somebody does.
    await eventually(async () => (await redis.client().get('shop:cache-lease:{cold}'))?.startsWith('+') === true);
    expect([...two.told('loading'), ...three.told('loading')]).toEqual([]);
    await one.kill();
    const killedAt = Date.now();
    const served = [await two.tells('served', 60_000), await three.tells('served', 60_000)];
    expect(served.map(({ loads }) => Number(loads)).toSorted()).toEqual([0, 1]);
    const [{ at } = { at: 0 }] = [...two.told('loading'), ...three.told('loading')];
    // A loaded machine may be late; a poll, or a lease that is renewed by nobody, would be later still.
    expect(Number(at) - killedAt).toBeLessThan(leaseMs + 5_000);
  }, 90_000);
});
