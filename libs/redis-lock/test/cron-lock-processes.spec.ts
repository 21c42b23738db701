import { join } from 'node:path';
import { eventually, RedisServer } from '@redstart/redis-testing';
import type { CronInstanceOptions } from './processes/cron-instance.js';
import { type Instance, Programs } from '@redstart/redis-testing/programs';

/** The ttl of the instances. */
const leaseMs = 1_500;

/** Two processes whose clocks are 600 ms apart; a tick every three seconds, of which atLeast is 2.2 s: either may be late by half a second and more. */
describe('@CronLock on two hosts', () => {
  let server: RedisServer;
  let programs: Programs;
  let early: Instance;
  let late: Instance;
  beforeAll(async () => {
    [server, programs] = await Promise.all([
      RedisServer.start(),
      Programs.compile(join(import.meta.dirname, '..'), 'test/processes'),
    ]);
    const start = (skewMs: number) => {
      const options: CronInstanceOptions = { url: server.url, skewMs };
      return programs.start('test/processes/cron-instance', options);
    };
    [early, late] = [start(300), start(-300)];
    await Promise.all([early.tells('ready', 45_000), late.tells('ready', 45_000)]);
  }, 60_000);
  afterAll(async () => {
    await Promise.all([early.kill(), late.kill()]);
    await Promise.all([server.stop(), programs[Symbol.asyncDispose]()]);
  });

  const ticks = (instance: Instance, event: string) => instance.told(event).map(({ tick }) => Number(tick));
  const firedByBoth = () => ticks(early, 'fired').filter((tick) => ticks(late, 'fired').includes(tick));
  const runsOf = (tick: number) =>
    [...ticks(early, 'ran'), ...ticks(late, 'ran')].filter((other) => other === tick).length;
  const passed = async (ms: number) => {
    const until = performance.now() + ms;
    await eventually(() => performance.now() > until);
  };

  it('runs every tick exactly once, although both ask for it at different times', async () => {
    await eventually(() => firedByBoth().length >= 3, { within: 30_000 });
    const all = [...new Set([...ticks(early, 'fired'), ...ticks(late, 'fired')])];
    await eventually(() => all.every((tick) => runsOf(tick) > 0), { within: 10_000 }); // Whoever fired last has asked, too.
    await passed(500);
    expect(all.map((tick) => [tick, runsOf(tick)])).toEqual(all.map((tick) => [tick, 1]));
    // Redis is free of clocks: what differs is when they ask.
    const firedAt = (instance: Instance, tick: number) =>
      Number(instance.told('fired').find((report) => report.tick === tick)?.at);
    const later = firedByBoth().map((tick) => firedAt(late, tick) - firedAt(early, tick));
    expect(Math.max(...later)).toBeGreaterThan(400);
  }, 60_000);

  it('runs the next tick elsewhere when the instance that runs is killed', async () => {
    early.send('hang from now on');
    late.send('hang from now on');
    await eventually(() => early.told('hangs').length + late.told('hangs').length > 0, { every: 5, within: 15_000 });
    const [killed, other] = early.told('hangs').length > 0 ? [early, late] : [late, early];
    const { tick } = await killed.tells('hangs');
    expect(other.told('hangs')).toEqual([]);
    // The other job of this tick belongs to it, too, maybe, and would die with it.
    await eventually(() => runsOf(Number(tick)) === 1);
    await killed.kill();
    const leaseEndsAt = Date.now() + leaseMs;
    const next = Number((await other.tells('hangs')).tick);
    expect(next).toBeGreaterThan(Number(tick));
    // The next tick; or the one after it, should the lease have outlasted that, since this spec was slow to kill.
    const leftOut = other
      .told('fired')
      .filter((fired) => Number(fired.tick) > Number(tick) && Number(fired.tick) < next);
    for (const { at } of leftOut) expect(at).toBeLessThan(leaseEndsAt);
    await eventually(() => runsOf(next) === 1);
    expect(runsOf(Number(tick))).toBe(1);
  }, 40_000);
});
