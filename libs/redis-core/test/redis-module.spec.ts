import { Controller, Get, Inject, Injectable, Module } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { Redis } from 'ioredis';
import { eventually, RedisServer } from '@redstart/redis-testing';
import {
  featureModule,
  getRedisConnectionToken,
  InjectRedis,
  InjectRedisPool,
  OptionsError,
  RedisConnection,
  RedisConnections,
  RedisModule,
  RedisPool,
  type RedisOptionsBase,
} from '../src/index.js';
import { rejectionOf } from './support/open-connection.js';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const nothingIsOpen = () =>
  eventually(async () => {
    expect(await new RedisServerWatcher(server).connections()).toBe(0);
  });

const boot = (...imports: NonNullable<Parameters<typeof Test.createTestingModule>[0]['imports']>) =>
  Test.createTestingModule({ imports }).compile();

@Injectable()
class Orders {
  constructor(
    @InjectRedis() readonly redis: Redis,
    @InjectRedis('archive') readonly archive: Redis,
    @InjectRedisPool() readonly pool: RedisPool,
  ) {}
}

@Module({ providers: [Orders] })
class OrdersModule {}

@Injectable()
class Configured {
  createOptions(): RedisOptionsBase {
    return { namespace: 'async', url: server.url };
  }
}

@Module({ providers: [Configured], exports: [Configured] })
class ConfiguredModule {}

describe('RedisModule', () => {
  it('provides named connections, their clients and pools', async () => {
    const app = await boot(
      RedisModule.forRoot({ namespace: 'shop', url: server.url }),
      RedisModule.forRoot({ name: 'archive', namespace: 'old', url: server.url }),
      OrdersModule,
    );
    const orders = app.get(Orders);
    await orders.redis.set('a', '1', 'PX', 60_000);
    expect(await orders.archive.get('a')).toBe('1');
    expect(orders.redis).not.toBe(orders.archive);
    expect(await orders.pool.use((redis) => redis.ping())).toBe('PONG');
    const connections = app.get(RedisConnections);
    expect(connections.names).toEqual(['archive', 'default']);
    expect(connections.get('archive').keys.tagged('x', 'y')()).toBe('old:x:{y}');
    expect(app.get<RedisConnection>(getRedisConnectionToken())).toBe(connections.get());
    await app.close();
    expect(orders.redis.status).toBe('end');
    expect(orders.archive.status).toBe('end');
  });

  it.each([
    ['useFactory', { useFactory: () => ({ namespace: 'async', url: server.url }) }],
    ['useClass', { useClass: Configured }],
    ['useExisting', { imports: [ConfiguredModule], useExisting: Configured }],
  ])('takes its options from %s', async (_way, options) => {
    const app = await boot(RedisModule.forRootAsync(options));
    expect(app.get(RedisConnections).get().keys.namespace).toBe('async');
    await app.close();
  });

  it('refuses a factory that is none, or two', () => {
    expect(() => RedisModule.forRootAsync({})).toThrow(/got 0 of useFactory, useClass and useExisting/);
  });

  it('refuses wrong options where they are written', () => {
    expect(() => RedisModule.forRoot({ namespace: 'a', url: 'localhost' })).toThrow(OptionsError);
  });

  it('refuses two connections of one name, and lists the known ones', async () => {
    const options = { namespace: 'a', url: server.url };
    const error = await rejectionOf(boot(RedisModule.forRoot(options), RedisModule.forRoot({ ...options })));
    expect(String(error)).toMatch(/RedisModule "default".*imported twice.*Known connections: default/);
  });

  it('fails to boot when Redis is down, and leaves no connection of the others open', async () => {
    const down = await RedisServer.start();
    await down.kill();
    await nothingIsOpen(); // of the tests before
    const error = await rejectionOf(
      boot(
        RedisModule.forRoot({ namespace: 'a', url: server.url }),
        RedisModule.forRoot({ name: 'b', namespace: 'b', url: down.url, startupTimeout: '200ms' }),
      ),
    );
    expect(String(error)).toContain(`127.0.0.1:${down.port}`);
    await nothingIsOpen();
    await down.stop();
  });

  it('keeps two applications of one process apart', async () => {
    const [one, two] = await Promise.all([
      boot(RedisModule.forRoot({ namespace: 'one', url: server.url })),
      boot(RedisModule.forRoot({ namespace: 'two', url: server.url })),
    ]);
    await one.close();
    expect(await two.get(RedisConnections).get().client.ping()).toBe('PONG');
    await two.close();
  });

  it('leaves the answer to HTTP errors to the application with httpErrors: false', async () => {
    const app = await boot(RedisModule.forRoot({ namespace: 'a', url: server.url, httpErrors: false }));
    expect(app.get(RedisConnections).get().keys.namespace).toBe('a');
    await app.close();
  });
});

describe('shutdown of an application', () => {
  it('lets requests in flight use Redis, and closes the connection last', async () => {
    const order: string[] = [];
    @Controller()
    class Slow {
      constructor(@InjectRedis() private readonly redis: Redis) {}
      @Get('slow')
      async slow(): Promise<string> {
        order.push('entered');
        await eventually(() => {
          expect(order).toContain('shutting down');
        });
        const reply = await this.redis.set('slow', 'done', 'PX', 1_000);
        order.push('redis answered');
        return reply;
      }
      onModuleDestroy(): void {
        order.push('shutting down');
      }
    }
    @Module({ imports: [RedisModule.forRoot({ namespace: 'a', url: server.url })], controllers: [Slow] })
    class App {}
    const module = await Test.createTestingModule({ imports: [App] }).compile();
    const app = module.createNestApplication<NestExpressApplication>();
    await app.listen(0, '127.0.0.1');
    const client = app.get(RedisConnections).get().client;
    const response = fetch(`${await app.getUrl()}/slow`);
    await eventually(() => {
      expect(order).toContain('entered');
    });
    await app.close();
    expect(await (await response).text()).toBe('OK');
    expect(order).toEqual(['entered', 'shutting down', 'redis answered']);
    expect(client.status).toBe('end');
  });
});

class Greeter {
  constructor(
    readonly connection: RedisConnection,
    readonly greeting: string,
  ) {}
}
const getGreeterToken = (name = 'default') => Symbol.for(`Greeter "${name}" (import GreeterModule.forRoot())`);
@Module({})
class GreeterModule {}
const greeters = featureModule<{ greeting: string }, Greeter>({
  module: GreeterModule,
  token: getGreeterToken,
  service: Greeter,
  create: (connection, { greeting }) => new Greeter(connection, greeting),
});

describe('a feature module', () => {
  const redis = () => RedisModule.forRoot({ namespace: 'a', url: server.url });

  it('gets its connection, and its options from either way', async () => {
    const app = await boot(
      greeters.forRoot({ greeting: 'hello' }),
      greeters.forRootAsync({ name: 'second', connection: 'other', useFactory: () => ({ greeting: 'hi' }) }),
      redis(),
      RedisModule.forRoot({ name: 'other', namespace: 'b', url: server.url }),
    );
    expect(app.get(Greeter).greeting).toBe('hello');
    const second = app.get<Greeter>(getGreeterToken('second'));
    expect(second.greeting).toBe('hi');
    expect(second.connection.name).toBe('other');
    await app.close();
  });

  it('refuses an unknown connection at boot, and lists the known ones', async () => {
    const error = await rejectionOf(boot(redis(), greeters.forRoot({ greeting: 'x', connection: 'cach' })));
    expect(String(error)).toMatch(
      /GreeterModule "default": there is no Redis connection "cach".*Known connections: default/,
    );
    await nothingIsOpen();
  });

  it('tells its own mistake, not that of a connection that it stopped on its way', async () => {
    const far = RedisModule.forRoot({ namespace: 'a', name: 'far', url: 'redis://127.0.0.1:1', startupTimeout: '10s' });
    const error = await rejectionOf(boot(far, redis(), greeters.forRoot({ greeting: 'x', connection: 'cach' })));
    expect(String(error)).toMatch(/there is no Redis connection "cach"/);
    await nothingIsOpen();
  });

  it('says that RedisModule is missing', async () => {
    const error = await rejectionOf(boot(greeters.forRoot({ greeting: 'x' })));
    expect(String(error)).toMatch(/Known connections: none; import RedisModule.forRoot/);
  });

  it('refuses the same name twice', async () => {
    const error = await rejectionOf(
      boot(redis(), greeters.forRoot({ greeting: 'a' }), greeters.forRoot({ greeting: 'b' })),
    );
    expect(String(error)).toMatch(/GreeterModule "default": is imported 2 times under the same name/);
    await nothingIsOpen();
  });

  describe('that needs several connections', () => {
    class Choir {
      constructor(readonly connections: readonly RedisConnection[]) {}
    }
    @Module({})
    class ChoirModule {}
    const choir = (...connections: string[]) =>
      featureModule<object, Choir>({
        module: ChoirModule,
        token: (name = 'default') => Symbol.for(`Choir "${name}"`),
        service: Choir,
        connections,
        create: (first, _options, _name, all) => {
          expect(all[0]).toBe(first);
          return new Choir(all);
        },
      }).forRoot({});
    const named = (name: string) => RedisModule.forRoot({ name, namespace: 'a', url: server.url });

    it('gets them in the order of their names, whatever the order of the modules, and the default one need not exist', async () => {
      const app = await boot(choir('b', 'c', 'a'), named('a'), named('b'), named('c'));
      expect(app.get(Choir).connections.map(({ name }) => name)).toEqual(['b', 'c', 'a']);
      await app.close();
    });

    it('refuses an unknown one at boot, and lists the known ones', async () => {
      const error = await rejectionOf(boot(named('a'), named('b'), choir('a', 'bb')));
      expect(String(error)).toMatch(
        /ChoirModule "default": there is no Redis connection "bb".*Known connections: a, b\./,
      );
      await nothingIsOpen();
    });

    it('refuses to have none', async () => {
      const error = await rejectionOf(boot(named('a'), choir()));
      expect(String(error)).toMatch(/ChoirModule "default": needs at least one connection/);
      await nothingIsOpen();
    });
  });

  it('that was forgotten is a boot error naming the class and what to import', async () => {
    @Injectable()
    class Lobby {
      constructor(@Inject(getGreeterToken()) readonly greeter: Greeter) {}
    }
    const error = await rejectionOf(Test.createTestingModule({ providers: [Lobby] }).compile());
    expect(String(error)).toMatch(/Lobby.*Greeter "default" \(import GreeterModule\.forRoot\(\)\)/s);
  });
});

/** Counts the connections that a server sees, without its own. */
class RedisServerWatcher {
  constructor(private readonly watched: RedisServer) {}
  async connections(): Promise<number> {
    const list = await this.watched.ask((redis) => redis.client('LIST'));
    return String(list).trim().split('\n').length - 1;
  }
}
