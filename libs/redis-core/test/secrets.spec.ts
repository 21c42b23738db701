import diagnostics from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import { Controller, Get, Logger, Module, type LoggerService } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TerminusModule } from '@nestjs/terminus';
import { eventually, FaultProxy, RedisServer } from '@redstart/redis-testing';
import {
  createCodec,
  defineScript,
  InjectRedis,
  RedisConnections,
  RedisModule,
  type RedisClient,
} from '../src/index.js';
import { RedisHealthIndicator } from '../src/terminus/index.js';
import { aCall, openConnection, rejectionOf } from './support/open-connection.js';

/** One canary stands for every secret: the password, a value, a payload. Wherever something of ours can be seen, it must not be. */
const canary = 'S3CRET-canary';

class Seen implements LoggerService {
  readonly texts: string[] = [];
  readonly note = (...things: unknown[]): void => {
    this.texts.push(...things.map((thing) => inspect(thing, { depth: 12, showHidden: true, getters: true })));
  };
  log = this.note;
  error = this.note;
  warn = this.note;
  debug = this.note;
  verbose = this.note;
  fatal = this.note;
}

const leak = defineScript({
  name: 'spec:leak',
  keys: 1,
  lua: `return redis.error_reply('ERR from a script')`,
  parse: (r) => r,
});

@Controller()
class Failing {
  constructor(@InjectRedis() private readonly redis: RedisClient) {}
  @Get('raw')
  async raw(): Promise<unknown> {
    await this.redis.set('text', canary);
    return this.redis.lpush('text', canary);
  }
}

describe('a secret', () => {
  it('never reaches a log, an error, a trace, util.inspect or the health output', async () => {
    await using server = await RedisServer.start({ password: canary });
    const seen = new Seen();
    const originals = { ...console };
    for (const method of ['log', 'error', 'warn', 'info', 'debug'] as const) console[method] = seen.note;
    const channels = ['command', 'batch', 'connect'].flatMap((name) =>
      ['start', 'end', 'asyncStart', 'asyncEnd', 'error'].map((event) => `tracing:ioredis:${name}:${event}`),
    );
    const operations = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'].map(
      (event) => `tracing:redstart:operation:${event}`,
    );
    const watched = [...channels, ...operations];
    watched.forEach((channel) => {
      diagnostics.subscribe(channel, seen.note);
    });
    try {
      @Module({
        imports: [TerminusModule, RedisModule.forRoot({ namespace: 'a', url: server.url })],
        controllers: [Failing],
        providers: [RedisHealthIndicator],
      })
      class App {}
      const module = await Test.createTestingModule({ imports: [App] })
        .setLogger(seen)
        .compile();
      const app = module.createNestApplication();
      app.useLogger(seen);
      await app.listen(0, '127.0.0.1');
      const connection = app.get(RedisConnections).get();
      seen.note(
        connection,
        connection.client,
        connection.pool,
        connection.subscriber,
        connection.blocking(),
        connection.scripts,
      );
      new Logger('spec').error(connection.client);

      const response = await fetch(`${await app.getUrl()}/raw`);
      expect(response.status).toBe(500);
      seen.note(await response.text());

      await connection.client.set('text', canary);
      seen.note(await rejectionOf(connection.client.lpush('text', canary)));
      seen.note(await rejectionOf(connection.client.call('NOSUCHCOMMAND', canary)));
      seen.note(await rejectionOf(connection.call(aCall, (client) => client.call('NOSUCHCOMMAND', canary))));
      seen.note(await rejectionOf(connection.client.call('CONFIG', canary)));
      seen.note(JSON.stringify(connection.client), await rejectionOf(openConnection({ host: `redis://:${canary}@x` })));
      seen.note(app);
      seen.note(await connection.client.pipeline().lpush('text', canary).exec());
      seen.note(await connection.client.multi().lpush('text', canary).exec());
      seen.note(await rejectionOf(connection.client.call('LPUSH', 'text', canary)));
      seen.note(await rejectionOf(connection.call(aCall, (client) => client.lpush('text', canary))));
      seen.note(await rejectionOf(connection.scripts.run(aCall, leak, ['k'], [canary])));
      seen.note(await rejectionOf(connection.pool.use((client) => client.lpush('text', canary))));
      try {
        createCodec().encode({ password: canary, callback: () => canary });
      } catch (error) {
        seen.note(error);
      }

      server.pause();
      seen.note(await app.get(RedisHealthIndicator).isHealthy('redis', { timeout: '50ms' }));
      server.resume();
      await server.kill();
      await eventually(() => {
        expect(connection.client.status).toBe('reconnecting');
      });
      seen.note(await rejectionOf(connection.call({ ...aCall, budgetMs: 50 }, (client) => client.set('x', canary))));
      seen.note(connection.client);
      await app.close();

      const wrong = `redis://user:${canary}@127.0.0.1:${server.port}`;
      seen.note(await rejectionOf(openConnection({ url: wrong, startupTimeout: '100ms' })));
      await server.restart();
      seen.note(await rejectionOf(openConnection({ url: wrong })));
      seen.note(await rejectionOf(openConnection({ url: `http://${canary}` })));
    } finally {
      Object.assign(console, originals);
      watched.forEach((channel) => {
        diagnostics.unsubscribe(channel, seen.note);
      });
    }
    expect(seen.texts.length).toBeGreaterThan(40);
    expect(seen.texts.filter((text) => text.includes(canary))).toEqual([]);
  }, 60_000);

  it('is not carried by the error of a pipeline that broke half way', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url });
    const broken = open.connection.client.pipeline().set('first', '1').blpop(canary, 0).exec();
    await eventually(async () => {
      expect(await server.ask((redis) => redis.get('first'))).toBe('1');
      expect(String(await server.ask((redis) => redis.client('LIST')))).toContain('cmd=blpop');
    });
    expect(proxy.reset().injected).toBeGreaterThan(0);
    const replies = await broken;
    expect(replies?.[1]?.[0]).toBeInstanceOf(Error);
    expect(inspect(replies, { depth: 12, showHidden: true })).not.toContain(canary);
  });
});
