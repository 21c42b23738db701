import { join } from 'node:path';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { type Instance, Programs } from '@redstart/redis-testing/programs';
import type { LeaderInstanceOptions } from './processes/leader-instance.js';

const key = 'shop:lock:{scheduler}';
/** Two renewals may be late by more than a second. */
const ttlMs = 4_500;

let programs: Programs;
beforeAll(async () => {
  programs = await Programs.compile(join(import.meta.dirname, '..'), 'test/processes');
});
afterAll(() => programs[Symbol.asyncDispose]());

describeOn(
  standalone,
  sentinel,
  cluster,
)('a leader among hosts', (redis) => {
  let hosts: Instance[];
  beforeEach(async () => {
    const options: LeaderInstanceOptions = { connection: redis.connection, ttlMs };
    hosts = [1, 2, 3].map(() => programs.start('test/processes/leader-instance', options));
    await Promise.all(hosts.map((host) => host.tells('ready', 45_000)));
  }, 60_000);
  afterEach(async () => {
    await Promise.all(hosts.map((host) => host.kill()));
  });

  /** Waits until exactly one leads, as far as callbacks tell, and so many wait behind. */
  const leaderBefore = async (waiting: number): Promise<Instance> => {
    const client = redis.client();
    return eventually(
      async () => {
        const [leader, ...more] = hosts.filter((host) => host.told('elected').length > host.told('revoked').length);
        if (leader === undefined || more.length > 0) throw new Error('Nobody leads, or more than one.');
        expect(await client.llen(`${key}:queue`)).toBe(waiting);
        return leader;
      },
      { within: 15_000 },
    );
  };
  const electedAt = async (host: Instance) => Number((await host.tells('elected')).at);

  it('is followed at once when its application is closed, within the ttl when it is killed, and never earlier', async () => {
    const first = await leaderBefore(2);
    expect(hosts.filter((host) => host.told('elected').length > 0)).toEqual([first]);
    const closedAt = Date.now();
    first.send('close');
    await first.tells('closed');
    const second = await leaderBefore(1);
    const revocation = await first.tells('revoked');
    expect(revocation.reason).toBe('shutdown');
    expect(await electedAt(second)).toBeGreaterThanOrEqual(Number(revocation.at));
    // The lease lasts as long as that since its last renewal, and the next sign of life of a candidate takes 20 s.
    expect((await electedAt(second)) - closedAt).toBeLessThan(ttlMs);

    const leaseMs = await redis.client().pttl(key);
    const killedAt = Date.now();
    await second.kill();
    hosts = hosts.filter((host) => host !== second);
    const third = await leaderBefore(0);
    const vacantMs = (await electedAt(third)) - killedAt;
    expect(vacantMs).toBeGreaterThan(leaseMs / 3);
    expect(vacantMs).toBeLessThan(ttlMs + 5_000); // Some of it for a busy machine.

    const reports = await Promise.all([first, second, third].map((host) => host.tells('elected')));
    const fences = reports.map(({ fencingToken }) => Number(fencingToken));
    expect(fences).toEqual([...fences].sort((a, b) => a - b));
    expect(new Set(fences).size).toBe(3);
  }, 60_000);
});
