import 'reflect-metadata';
import { Controller, Get, Inject, Injectable, Param, Scope, type INestApplication } from '@nestjs/common';
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { Test } from '@nestjs/testing';
import { OptionsError, RedisModule, UnboundMethodError } from '@redstart/redis-core';
import { currentLock, getLockToken, InjectLock, LockService, RedisLockModule, WithLock } from '../src/index.js';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { startHost, type Host } from './support.js';

/** Never by itself: the spec fires it. */
const never = '0 0 0 29 2 *';
/** A busy machine is no outage. */
const patient = { commandTimeout: '5s' } as const;

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

@Injectable()
class Jobs {
  readonly runs: (readonly string[])[] = [];

  @Cron(never, { name: 'above' })
  @WithLock('job', { onLocked: 'skip' })
  above(): Promise<void> {
    this.runs.push(keysNow());
    return Promise.resolve();
  }

  @WithLock('job', { onLocked: 'skip' })
  @Cron(never, { name: 'below' })
  below(): Promise<void> {
    this.runs.push(keysNow());
    return Promise.resolve();
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest {
  @WithLock('per-request')
  run(): Promise<readonly string[]> {
    return Promise.resolve(keysNow());
  }
}

@Controller({ path: 'per-request', scope: Scope.REQUEST })
class PerRequestController {
  static built = 0;

  constructor() {
    PerRequestController.built++;
  }

  @WithLock((id: string) => ['order', id], { waitTimeout: 50 })
  @Get(':id')
  find(@Param('id') _id: string): Promise<readonly string[]> {
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
        RedisLockModule.forRoot(patient),
        RedisLockModule.forRootAsync({ name: 'second', useFactory: () => ({ ttl: '5s', ...patient }) }),
        ScheduleModule.forRoot({ intervals: false, timeouts: false }),
      ],
      controllers: [OrdersController, PerRequestController],
      providers: [Orders, PerRequest, Jobs],
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

  it('works on routes of a controller in request scope: a new instance for each, under the one lock', async () => {
    const built = PerRequestController.built;
    for (let request = 0; request < 2; request++) {
      expect(await (await fetch(`${url}/per-request/5`)).json()).toEqual(['shop:lock:{order:5}']);
    }
    expect(PerRequestController.built).toBe(built + 2);
    await using _held = await other.locks.acquire('order:5');
    expect((await fetch(`${url}/per-request/5`)).status).toBe(503);
  });

  it.each(['above', 'below'])('works on scheduled jobs, with @Cron %s it', async (name) => {
    const { runs } = app.get(Jobs);
    runs.length = 0;
    const job = app.get(SchedulerRegistry).getCronJob(name);
    const held = await other.locks.acquire('job');
    await job.fireOnTick();
    // Nobody waits for what a job returns: whoever asks Redis after it is answered after it.
    await app.get(Jobs).above();
    expect(runs).toEqual([]);
    await held.release();
    await job.fireOnTick();
    await eventually(() => {
      expect(runs).toEqual([['shop:lock:{job}']]);
    });
    await eventually(async () => {
      expect(await other.locks.isLocked('job')).toBe(false);
    });
  });

  it('takes the locks of its own application, whichever others run the same class in this process', async () => {
    const boot = async (namespace: string) => {
      const module = await Test.createTestingModule({
        imports: [
          RedisModule.forRoot({ namespace, ...redis.connection }),
          RedisLockModule.forRoot(patient),
          RedisLockModule.forRoot({ name: 'second', ...patient }),
        ],
        providers: [Orders],
      }).compile();
      await module.init();
      return { orders: module.get(Orders), [Symbol.asyncDispose]: () => module.close() };
    };
    {
      await using twin = await boot('shop');
      await using stranger = await boot('elsewhere');
      const held = await other.locks.acquire('order:1');
      expect(await stranger.orders.wait('1')).toEqual(['elsewhere:lock:{order:1}', '1', '']);
      await expect(orders.wait('1')).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
      await expect(twin.orders.wait('1')).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
      await held.release();
      expect(await twin.orders.wait('1')).toEqual(['shop:lock:{order:1}', '1', '']);
    }
    expect(await orders.wait('1')).toEqual(['shop:lock:{order:1}', '1', '']);
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
