import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import { mastersOf } from '../src/connection/cluster.js';
import { createCodec } from '../src/codec/codec.js';
import { CorruptValueError, InvalidKeyError } from '../src/redis.errors.js';
import { aCall, openConnection } from './support/open-connection.js';

const subjects = {
  'a line break and a command': 'a\r\nSET injected 1\r\n',
  'a NUL': 'a\0b',
  braces: 'a{b}c}{',
  'empty braces': '{}',
  'glob characters': '*?[a-z]^\\',
  quotes: `"'\``,
  'a percent sign': '100%25',
  'an emoji': '🛫',
  'a megabyte': 'x'.repeat(1_000_000),
} as const;

describeOn(standalone, cluster)('keys made of anything', (redis) => {
  it.each(Object.entries(subjects))('reach one key of their own, and no other: %s', async (_name, subject) => {
    await using open = await openConnection(redis.connection);
    const key = open.connection.keys.tagged('input', subject)();
    await open.connection.call(aCall, (client) => client.set(key, 'stored', 'PX', 60_000));
    const stored = (await Promise.all(mastersOf(open.connection.client).map((master) => master.keys('*')))).flat();
    expect(stored).toEqual([key]);
    expect(Buffer.byteLength(key)).toBeLessThan(3_500);
    expect(key).toMatch(/^spec:input:\{[^{}]+\}$/);
    expect(await open.connection.call(aCall, (client) => client.get(key))).toBe('stored');
  });

  it('refuses a lone surrogate, which would meet other keys, and writes nothing', async () => {
    await using open = await openConnection(redis.connection);
    expect(() => open.connection.keys.tagged('input', 'k\ud800')).toThrow(InvalidKeyError);
  });

  it('answers bytes that are not ours with a typed error, and leaves them where they are', async () => {
    await using open = await openConnection(redis.connection);
    const key = open.connection.keys.tagged('input', 'foreign')();
    await open.connection.client.set(key, Buffer.from([1, 255, 0]));
    const bytes = await open.connection.call(aCall, (client) => client.getBuffer(key));
    expect(() => createCodec().decode(bytes ?? Buffer.alloc(0))).toThrow(CorruptValueError);
    expect(await open.connection.client.exists(key)).toBe(1);
  });
});
