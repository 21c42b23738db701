import { Redis } from 'ioredis';
import { inspect } from 'node:util';
import { OptionsError } from '../src/redis.errors.js';
import { resolveRedisOptions, type RedisOptionsBase } from '../src/redis.options.js';

const problemOf = (options: object): OptionsError => {
  try {
    resolveRedisOptions(options as RedisOptionsBase);
  } catch (error) {
    if (error instanceof OptionsError) return error;
    throw error;
  }
  throw new Error('The options were accepted.');
};

describe('options of a connection', () => {
  it('become one complete, frozen object in milliseconds', () => {
    const resolved = resolveRedisOptions({ namespace: 'shop', startupTimeout: '3s' }, 'orders');
    expect(resolved).toMatchObject({
      name: 'orders',
      startup: 'wait',
      startupTimeoutMs: 3_000,
      shutdownTimeoutMs: 1_000,
      target: { kind: 'standalone', address: { host: '127.0.0.1', port: 6379 }, db: 0 },
      pool: { max: 10, acquireTimeoutMs: 1_000 },
    });
    expect(Object.isFrozen(resolved)).toBe(true);
  });

  it('read every part of a URL', () => {
    const { target } = resolveRedisOptions({ namespace: 'shop', url: 'rediss://bob:p%40ss@[::1]:7000/3' });
    expect(target).toEqual({
      kind: 'standalone',
      address: { host: '::1', port: 7000 },
      db: 3,
      username: 'bob',
      password: 'p@ss',
      tls: {},
    });
  });

  it.each([
    ['an unknown option', { namespace: 'a', hots: 'x' }, /hots: is not an option. Known options: .*host/],
    ['no namespace', {}, /namespace/],
    ['a namespace with a brace', { namespace: 'a{b' }, /namespace/],
    ['a wrong startup', { namespace: 'a', startup: 'later' }, /startup: got "later"; expected 'wait' or 'lazy'/],
    ['a wrong duration', { namespace: 'a', startupTimeout: '5 minutes' }, /startupTimeout.*"5 minutes"/],
    ['a port out of range', { namespace: 'a', host: 'x', port: 70_000 }, /port: got 70000; expected an integer from 1/],
    ['a port as text', { namespace: 'a', host: 'x', port: '6379' }, /port: got "6379"/],
    ['an empty host', { namespace: 'a', host: '' }, /host: got ""; expected a non-empty string/],
    ['a URL as host', { namespace: 'a', host: 'redis://:pw@x' }, /host: holds a slash, an @ or white space/],
    ['two targets', { namespace: 'a', url: 'redis://x', host: 'y' }, /url and host contradict each other/],
    ['a port beside a url', { namespace: 'a', url: 'redis://x', port: 1 }, /port: stands beside url/],
    ['sentinels without a master', { namespace: 'a', sentinels: [{ host: 'x' }] }, /masterName/],
    ['an empty cluster', { namespace: 'a', cluster: [] }, /cluster: got an array; expected a non-empty/],
    ['a database on a cluster', { namespace: 'a', cluster: ['redis://x'], db: 2 }, /only database 0/],
    [
      'a foreign object as client',
      { namespace: 'a', client: {} },
      /client: got an object; expected a Redis or Cluster/,
    ],
    ['a pool of none', { namespace: 'a', pool: { max: 0 } }, /pool.max: got 0/],
    ['a typo in the pool', { namespace: 'a', pool: { maximum: 3 } }, /pool.maximum: is not an option/],
    ['a tls of the wrong type', { namespace: 'a', host: 'x', tls: 'yes' }, /tls: got "yes"; expected true or false/],
    [
      'a password of the wrong type',
      { namespace: 'a', host: 'x', password: 42 },
      /password: got a value of type number/,
    ],
  ])('refuse %s by name', (_case, options, message) => {
    expect(problemOf(options).message).toMatch(message);
  });

  it.each([
    ['no scheme', 'localhost:6379'],
    ['another scheme', 'http://:S3CRET@host'],
    ['no host', 'redis://:S3CRET@'],
    ['a broken port', 'redis://:S3CRET@host:port'],
    ['a path that is no database', 'redis://:S3CRET@host/prod'],
    ['a query', 'redis://:S3CRET@host/0?ssl=true'],
    ['bad percent-encoding', 'redis://:S3CRET%@host'],
    ['not even text', 6379],
  ])('refuse a url with %s, without showing it', (_case, url) => {
    const problem = problemOf({ namespace: 'a', url });
    expect(problem.option).toBe('RedisModule "default".url');
    expect(problem.message).toContain('expected redis://user:password@host:port/db');
    expect(inspect(problem)).not.toContain('S3CRET');
  });

  it('refuse a client with keyPrefix, which would change the keys of our scripts', () => {
    const client = new Redis({ lazyConnect: true, keyPrefix: 'app:' });
    expect(problemOf({ namespace: 'a', client }).message).toMatch(/keyPrefix "app:".*use namespace instead/);
    client.disconnect();
  });
});
