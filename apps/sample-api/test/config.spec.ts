import { AppConfig } from '../src/config/app-config.js';
import { describeStartupFailure, StartupError } from '../src/startup/startup-error.js';

const valid = {
  DATABASE_URL: 'postgres://app:s3cret@db.internal/flights',
  REDIS_URL: 'redis://:s3cret@cache.internal:6379',
};

describe('the configuration', () => {
  it('has defaults for everything but the two addresses', () => {
    expect(AppConfig.from(valid)).toMatchObject({
      port: 3000,
      host: undefined,
      databasePoolSize: 10,
      databaseTimeoutSeconds: 5,
      searchesPerMinute: 60,
      bookingsPerMinute: 60,
      outboxPollSeconds: 1,
      republishAfterSeconds: 5,
    });
  });

  it('takes an empty variable as not set', () => {
    expect(AppConfig.from({ ...valid, PORT: '', HOST: ' ' })).toMatchObject({ port: 3000, host: undefined });
  });

  it.each(['x', '-1', '65536', '3000.5', '1e3', '0x10', ' 80 '])('refuses the port %j', (PORT) => {
    expect(() => AppConfig.from({ ...valid, PORT })).toThrow('PORT must be an integer from 0 to 65535');
  });

  it.each(['0', '3601', '0.5'])('refuses to announce again after %s seconds', (REPUBLISH_AFTER_SECONDS) => {
    expect(() => AppConfig.from({ ...valid, REPUBLISH_AFTER_SECONDS })).toThrow(
      'REPUBLISH_AFTER_SECONDS must be an integer from 1 to 3600',
    );
  });

  it('names every wrong variable in one line and quotes no value', () => {
    const wrong = () =>
      AppConfig.from({ PORT: '99999', DATABASE_URL: 'mysql://app:s3cret@db/flights', DATABASE_POOL_SIZE: '0' });

    expect(wrong).toThrow(StartupError);
    expect(wrong).toThrow(
      'The configuration is wrong: PORT must be an integer from 0 to 65535; DATABASE_URL must be a postgres:// URL; ' +
        'DATABASE_POOL_SIZE must be an integer from 1 to 100; REDIS_URL is missing (must be a redis:// or rediss:// URL).',
    );
  });
});

describe('the line that tells why the start failed', () => {
  it('is the message alone when the operator can act on it', () => {
    expect(describeStartupFailure(new StartupError('PORT is wrong.'))).toBe('PORT is wrong.');
    const busy = Object.assign(new Error('listen EADDRINUSE :::3000'), { code: 'EADDRINUSE', port: 3000 });
    expect(describeStartupFailure(busy)).toMatch(/^Port 3000 is already in use\./);
  });

  it.each([
    'postgres://app:s3cret@db/flights',
    'redis://:s3cret@cache:6379',
    'postgres://app:p%40s3cret@db',
    'postgres://app:a@s3cret@db',
  ])('never holds the password of %s', (url) => {
    expect(describeStartupFailure(new StartupError(`can't use ${url} at all`))).not.toContain('s3cret');
    expect(describeStartupFailure(new Error(`can't use ${url} at all`))).not.toContain('s3cret');
  });
});
