import 'reflect-metadata';
import { Controller, Get, Inject, Injectable, Param, Scope, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { OptionsError, RedisModule, UnboundMethodError } from '@redstart/redis-core';
import { currentLock, getLockToken, InjectLock, LockService, RedisLockModule, WithLock } from '../src/index.js';
import { cluster, describeOn, sentinel, standalone } from '@redstart/redis-testing';
import { startHost, type Host } from './support.js';

function keysNow(): readonly string[] {
  return currentLock()?.keys ?? [];
}

class Base {
  @WithLock((id: string) => ['inherited', id])
  inherited(_id: string): Promise<readonly string[]> {
    return Promise.resolve(keysNow());
  }
}

@Injectable()
class Orders extends Base {
  runs = 0;

  @WithLock((id: string) => ['order', id], { waitTimeout: 100 })
  wait(id: string, extra = ''): Promise<readonly string[]> {
    return Promise.resolve([...keysNow(), id, extra]);
  }

  @WithLock('report', { onLocked: 'skip' })
  skip(): Promise<string> {
    this.runs++;
    return Promise.resolve('ran');
  }

  @WithLock((from: string, to: string) => [
    ['account', from],
    ['account', to],
  ])
  transfer(_from: string, _to: string): Promise<readonly string[]> {
    return Promise.resolve(keysNow());
  }

  @WithLock('second', { name: 'second' })
  second(): Promise<readonly string[]> {
    return Promise.resolve(keysNow());
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest {
  @WithLock('per-request')
  run(): Promise<readonly string[]> {
    return Promise.resolve(keysNow());
  }
}

@Controller()
class OrdersController {
  constructor(@Inject(PerRequest) private readonly perRequest: PerRequest) {}

  @WithLock((id: string) => ['order', id], { onLocked: 'throw' })
  @Get('above/:id')
  above(@Param('id') _id: string): Promise<readonly string[]> {
    return Promise.resolve(keysNow());
  }

  @Get('below/:id')
  @WithLock((id: string) => ['order', id], { waitTimeout: 50 })
  below(@Param('id') _id: string): Promise<readonly string[]> {
    return Promise.resolve(keysNow());
  }

  @Get('scoped')
  scoped(): Promise<readonly string[]> {
    return this.perRequest.run();
  }
}

describeOn(
  standalone,
  sentinel,
  cluster,
)('@WithLock', (redis) => {
  let app: INestApplication;
  let url: string;
  let orders: Orders;
  let other: Host;
  beforeAll(async () => {
    const module = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'shop', ...redis.connection }),
        RedisLockModule.forRoot(),
        RedisLockModule.forRootAsync({ name: 'second', useFactory: () => ({ ttl: '5s' }) }),
      ],
      controllers: [OrdersController],
      providers: [Orders, PerRequest],
    }).compile();
    app = module.createNestApplication();
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    orders = app.get(Orders);
    other = await startHost(redis.connection);
  });
  afterAll(async () => {
    await other.app.close();
    await app.close();
  });

  it('locks the key that is made of the arguments, on services, inherited methods and named modules', async () => {
    expect(await orders.wait('1', 'x')).toEqual(['shop:lock:{order:1}', '1', 'x']);
    expect(await orders.inherited('7')).toEqual(['shop:lock:{inherited:7}']);
    expect(await orders.transfer('b', 'a')).toEqual(['shop:lock:{account:a}', 'shop:lock:{account:b}']);
    expect(await orders.second()).toEqual(['shop:lock:{second}']);
    expect(await redis.client().keys('shop:lock:{*}')).toEqual([]);
  });

  it('waits by default and then fails', async () => {
    await using _held = await other.locks.acquire('order:1');
    await expect(orders.wait('1')).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
  });

  it('skips the method when told so', async () => {
    const held = await other.locks.acquire('report');
    expect(await orders.skip()).toBeUndefined();
    expect(orders.runs).toBe(0);
    await held.release();
    expect(await orders.skip()).toBe('ran');
  });

  it('works on routes, above and below @Get, and in request scope', async () => {
    for (const path of ['above/5', 'below/5']) {
      expect(await (await fetch(`${url}/${path}`)).json()).toEqual(['shop:lock:{order:5}']);
    }
    expect(await (await fetch(`${url}/scoped`)).json()).toEqual(['shop:lock:{per-request}']);
  });

  it('answers 409 for a held lock, 503 with Retry-After for a wait in vain', async () => {
    await using _held = await other.locks.acquire('order:5');
    const conflict = await fetch(`${url}/above/5`);
    expect(conflict.status).toBe(409);
    expect(conflict.headers.get('content-type')).toContain('application/problem+json');
    const timeout = await fetch(`${url}/below/5`);
    expect(timeout.status).toBe(503);
    expect(timeout.headers.get('retry-after')).toBe('1');
  });

  it('fails at boot without the module, naming the class and the module', async () => {
    const compile = Test.createTestingModule({
      // A client of the suite's own: nothing closes the connections of an application that did not boot.
      imports: [RedisModule.forRoot({ namespace: 'shop', client: redis.client() })],
      providers: [PerRequestless],
    }).compile();
    await expect(compile).rejects.toThrow(/PerRequestless[\s\S]*RedisLockModule\.forRoot\(\)/);
  });

  it('rejects on an instance that Nest did not build', async () => {
    await expect(new Orders().skip()).rejects.toThrow(UnboundMethodError);
  });

  it('refuses wrong options where the class is defined', () => {
    expect(() => WithLock('x', { ttl: 5 })).toThrow(OptionsError);
    expect(() => WithLock('x', { onLocked: 'run' as 'skip' })).toThrow(/onLocked/);
    expect(() => WithLock('x', { lease: 5 } as object)).toThrow(/lease/);
    expect(() => RedisLockModule.forRoot({ ttl: 1 })).toThrow(/RedisLockModule\.ttl/);
  });

  it('is injected by class and by name', async () => {
    @Injectable()
    class User {
      constructor(
        @Inject(LockService) readonly byClass: LockService,
        @InjectLock() readonly byName: LockService,
      ) {}
    }
    await using host = await startHost(redis.connection, {}, [User]);
    const user = host.app.get(User);
    expect(user.byClass).toBe(user.byName);
    expect(host.app.get(getLockToken())).toBe(user.byClass);
  });
});

@Injectable()
class PerRequestless {
  @WithLock('x')
  run(): Promise<void> {
    return Promise.resolve();
  }
}
