import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import { mastersOf } from '../src/connection/cluster.js';
import { RedisCommandError, RedisUnavailableError } from '../src/redis.errors.js';
import { defineScript } from '../src/script/define-script.js';
import { aCall, openConnection, rejectionOf } from './support/open-connection.js';

const append = defineScript({
  name: 'spec:append',
  keys: 1,
  lua: `redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('LLEN', KEYS[1])`,
  parse: Number,
});

describeOn(standalone, cluster)('scripts', (redis) => {
  const flushScripts = async () => {
    const client = redis.client();
    await Promise.all(mastersOf(client).map((master) => master.script('FLUSH', 'SYNC')));
  };

  it('run by digest, and load themselves when the server does not know them', async () => {
    await using open = await openConnection(redis.connection);
    const { scripts, keys } = open.connection;
    const key = keys.tagged('list', 'a')();
    await flushScripts();
    expect(await scripts.run(aCall, append, [key], ['x'])).toBe(1);
    expect(await scripts.run(aCall, append, [key], ['y'])).toBe(2);
    await flushScripts();
    expect(await Promise.all([1, 2, 3].map(() => scripts.run(aCall, append, [key], ['z'])))).toEqual([3, 4, 5]);
  });

  it('recover in a pipeline, each exactly once', async () => {
    await using open = await openConnection(redis.connection);
    const { scripts, keys } = open.connection;
    const key = keys.tagged('list', 'p')();
    await flushScripts();
    const calls = ['a', 'b', 'c'].map((value) => ({ script: append, keys: [key], args: [value] }));
    const outcomes = await scripts.runPipelined(aCall, calls);
    expect(outcomes).toEqual([1, 2, 3].map((value) => ({ status: 'fulfilled', value })));
  });

  it('never leave a transaction half done: they go into it by their text', async () => {
    await using open = await openConnection(redis.connection);
    const { scripts, keys, client } = open.connection;
    const at = keys.tagged('tx', 1);
    await flushScripts();
    const multi = client.multi();
    scripts.addToTransaction(multi, append, [at('list')], ['x']);
    multi.set(at('flag'), 'done');
    expect(await multi.exec()).toEqual([
      [null, 1],
      [null, 'OK'],
    ]);
  });

  it('answer with one outcome per call when some of them fail', async () => {
    await using open = await openConnection(redis.connection);
    const { scripts, keys, client } = open.connection;
    const at = keys.tagged('list', 'mixed');
    await client.set(at('text'), 'not a list');
    const outcomes = await scripts.runPipelined(aCall, [
      { script: append, keys: [at('text')], args: ['x'] },
      { script: append, keys: [at('list')], args: ['x'] },
    ]);
    expect(outcomes[0]).toMatchObject({ status: 'rejected', reason: { reason: 'WRONGTYPE' } });
    expect(outcomes[1]).toEqual({ status: 'fulfilled', value: 1 });
  });

  it('report an error of the script as a typed error without its arguments', async () => {
    await using open = await openConnection(redis.connection);
    const { scripts, keys, client } = open.connection;
    const key = keys.tagged('list', 'wrong')();
    await client.set(key, 'text');
    const error = await rejectionOf(scripts.run(aCall, append, [key], ['S3CRET']));
    expect(error).toBeInstanceOf(RedisCommandError);
    expect(error).toMatchObject({ code: 'REDIS_COMMAND', reason: 'WRONGTYPE' });
  });

  it('refuse a wrong number of keys before anything is sent', async () => {
    await using open = await openConnection(redis.connection);
    expect(() => open.connection.scripts.run(aCall, append, [], [])).toThrow(/takes 1 keys, got 0/);
  });

  it('return Buffers where they are asked for', async () => {
    await using open = await openConnection(redis.connection);
    const { scripts, keys } = open.connection;
    const echo = defineScript({
      name: 'spec:echo',
      keys: 1,
      buffers: true,
      lua: `redis.call('SET', KEYS[1], ARGV[1], 'PX', 1000) return redis.call('GET', KEYS[1])`,
      parse: (reply) => reply,
    });
    const bytes = Buffer.from([0, 255, 128, 13, 10]);
    expect(await scripts.run(aCall, echo, [keys.tagged('bytes', 1)()], [bytes])).toEqual(bytes);
  });

  it('may free memory when it is full, if flagged allow-oom; others are refused as not executed', async () => {
    await using open = await openConnection(redis.connection);
    const { scripts, keys, client } = open.connection;
    const key = keys.tagged('full', 1)();
    await client.set(key, 'x');
    const free = defineScript({
      name: 'spec:free',
      keys: 1,
      flags: ['allow-oom'],
      lua: `return redis.call('DEL', KEYS[1])`,
      parse: Number,
    });
    const setLimit = (bytes: string) =>
      Promise.all(mastersOf(client).map((master) => master.config('SET', 'maxmemory', bytes)));
    await setLimit('1');
    try {
      const refused = await rejectionOf(scripts.run(aCall, append, [keys.tagged('full', 2)()], ['x']));
      expect(refused).toBeInstanceOf(RedisUnavailableError);
      expect(refused).toMatchObject({ outcome: 'not-executed' });
      expect(await scripts.run(aCall, free, [key], [])).toBe(1);
      expect(open.connection.breakerState).toBe('closed');
    } finally {
      await setLimit('0');
    }
  });
});
