import { InvalidKeyError, OptionsError, RedisCommandError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { defineFencedScript, StaleTokenError, type Lock } from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf } from './support.js';

const report = 'shop:report:{42}';
const fence = `${report}:fence`;

const saveReport = defineFencedScript({
  name: 'report:save',
  keys: 2,
  lua: `
    redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)
    redis.call('RPUSH', KEYS[2], ARGV[1])
    return redis.call('PEXPIRE', KEYS[2], 60000)`,
  args: (text: string) => [text],
  parse: (reply) => reply === 1,
});
const keys = [report, `${report}:log`];

describeOn(
  standalone,
  sentinel,
  cluster,
)('a fenced script', (redis) => {
  let sleeper: DrivenHost;
  let other: DrivenHost;
  beforeEach(async () => {
    [sleeper, other] = await Promise.all([DrivenHost.start(redis.connection), DrivenHost.start(redis.connection)]);
  });
  afterEach(() => Promise.all([sleeper[Symbol.asyncDispose](), other[Symbol.asyncDispose]()]));
  const save = (host: DrivenHost, lock: Lock, text: string) =>
    saveReport.run(host.connection, lock.fencingToken, keys, text);
  /** The lock, as soon as the lease of its present holder has lapsed in Redis. */
  const lapsed = (): Promise<Lock> =>
    eventually(async () => {
      const lock = await other.locks.tryAcquire('report');
      if (lock === null) throw new Error('The lease still runs.');
      return lock;
    });

  it('refuses a holder that stood still beyond its lease and does not know it', async () => {
    const stale = await sleeper.locks.acquire('report', { ttl: 150 });
    await save(sleeper, stale, 'first');
    const current = await lapsed(); // The other host's clock goes on, this one's stands still.
    expect(await save(other, current, 'second')).toBe(true);

    expect(stale.isHeld).toBe(true);
    const refused = await failureOf(save(sleeper, stale, 'too late'));
    expect(refused).toBeInstanceOf(StaleTokenError);
    expect(refused).toMatchObject({
      code: 'STALE_TOKEN',
      key: report,
      token: stale.fencingToken,
      seen: current.fencingToken,
      response: { status: 409 },
    });
    expect(await redis.client().get(report)).toBe('second');
    expect(await redis.client().lrange(keys[1] ?? '', 0, -1)).toEqual(['first', 'second']);
    await save(other, current, 'third');
  });

  it('refuses a write that was sent in time and arrives behind that of the next holder', async () => {
    const written = deferred();
    sleeper.onCall('fenced.report:save', async (send) => {
      await written.promise;
      return send();
    });
    const stale = await sleeper.locks.acquire('report', { ttl: 150 });
    const onItsWay = failureOf(save(sleeper, stale, 'delayed'));
    await save(other, await lapsed(), 'second');
    written.resolve();
    expect(await onItsWay).toMatchObject({ code: 'STALE_TOKEN', token: stale.fencingToken });
    expect(sleeper.calls.get('fenced.report:save')).toBe(1);
    expect(await redis.client().get(report)).toBe('second');
  });

  it('lets no lower token in behind a higher one, in whatever order they come', async () => {
    const tokens = Array.from({ length: 60 }, (_, n) => 1_800_000_000_000_000 + ((n * 37) % 60));
    const outcomes = await Promise.allSettled(
      tokens.map((token, n) =>
        saveReport.run([sleeper, other][n % 2]?.connection ?? other.connection, token, keys, `${token}`),
      ),
    );
    const log = await redis.client().lrange(keys[1] ?? '', 0, -1);
    expect(log).toEqual([...log].sort());
    expect(log.at(-1)).toBe('1800000000000059');
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(log.length);
    expect(log.length).toBeLessThan(60);
  });

  it('keeps the highest token beside the data, to the digit and for its time, and knows the resources apart', async () => {
    const brief = defineFencedScript({
      name: 'brief',
      lua: `return redis.call('SET', KEYS[1], 'x', 'PX', 60000).ok`,
      args: () => [],
      parse: String,
      fenceTtl: '90s',
    });
    expect(await brief.run(other.connection, 9_007_199_254_740_991, [report])).toBe('OK');
    expect(await redis.client().get(fence)).toBe('9007199254740991');
    const leftMs = await redis.client().pttl(fence);
    expect(leftMs > 80_000 && leftMs <= 90_000).toBe(true);
    await saveReport.run(other.connection, 1, [`${report}:other`, `${report}:log`], 'its own fence');
    expect(await redis.client().pttl(`${report}:other:fence`)).toBeGreaterThan(86_000_000);
  });

  it('gives the body its own KEYS and ARGV, and returns whatever it returns', async () => {
    const run = (lua: string, ...args: string[]) =>
      defineFencedScript({ name: 'echo', lua, args: (...given: string[]) => given, parse: (reply) => reply }).run(
        other.connection,
        7,
        [report],
        ...args,
      );
    expect(await run('return { #KEYS, #ARGV, KEYS[1], unpack(ARGV) }', 'a', '', 'ü\0')).toEqual([
      1,
      3,
      report,
      'a',
      '',
      'ü\0',
    ]);
    for (const name of ['token', 'fence', 'seen', 'ttlMs']) {
      expect((await failureOf(run(`return ${name}`))).message).toContain(`nonexistent global variable '${name}'`);
    }
  });

  it('passes on what the body fails with, and has the token noted by then', async () => {
    await redis.client().rpush(report, 'a list');
    const incr = defineFencedScript({
      name: 'count',
      lua: `return redis.call('INCR', KEYS[1])`,
      args: () => [],
      parse: Number,
    });
    const wrongType = await failureOf(incr.run(other.connection, 5, [report]));
    expect(wrongType).toBeInstanceOf(RedisCommandError);
    expect(wrongType).toMatchObject({ reason: 'WRONGTYPE' });
    expect(await redis.client().get(fence)).toBe('5');
    const own = defineFencedScript({
      name: 'own',
      lua: `return redis.error_reply('MINE and nobody else')`,
      args: () => [],
      parse: Number,
    });
    expect(await failureOf(own.run(other.connection, 5, [report]))).toMatchObject({ reason: 'MINE' });
  });

  it('refuses what is no token, and keys that are not of one hash tag, before anything is sent', async () => {
    const run = (token: number, of = keys) => saveReport.run(other.connection, token, of, 'x');
    for (const token of [0, -1, 1.5, Number.NaN, 2 ** 53]) {
      await expect(run(token)).rejects.toThrow(/report:save\.run\(token\).*lock\.fencingToken/);
    }
    await expect(run(1, [report])).rejects.toThrow(OptionsError);
    await expect(run(1, ['shop:report:42', 'shop:report:42'])).rejects.toThrow(InvalidKeyError);
    await expect(run(1, [report, 'shop:log:{43}'])).rejects.toThrow(/common hash tag/);
    expect(other.calls.get('fenced.report:save')).toBeUndefined();
  });
});

describe('defineFencedScript', () => {
  const definition = { name: 'x', lua: 'return 1', args: () => [], parse: Number };

  it('refuses a wrong definition where it is written', () => {
    expect(() => defineFencedScript({ ...definition, name: '' })).toThrow(/\.name/);
    expect(() => defineFencedScript({ ...definition, lua: '' })).toThrow(/\.lua/);
    expect(() => defineFencedScript({ ...definition, keys: 0 })).toThrow(/\.keys/);
    expect(() => defineFencedScript({ ...definition, fenceTtl: 0 })).toThrow(/\.fenceTtl/);
    expect(() => defineFencedScript({ ...definition, flags: [] } as typeof definition)).toThrow(
      /\.flags: is not an option/,
    );
  });
});
