import 'reflect-metadata';
import { Controller, Get, Injectable, type INestApplication, type LoggerService } from '@nestjs/common';
import { Cron, Interval, ScheduleModule, SchedulerRegistry, Timeout } from '@nestjs/schedule';
import { Test } from '@nestjs/testing';
import { OptionsError, RedisModule, RedisUnavailableError, type RedisModuleOptions } from '@redstart/redis-core';
import { cluster, describeOn, eventually, FaultProxy, sentinel, standalone } from '@redstart/redis-testing';
import { CronLock, currentLock, LockService, RedisLockModule, type RedisLockOptions } from '../src/index.js';
import { deferred, failureOf } from './support.js';

/** Never by itself: the specs fire it. */
const never = '0 0 0 29 2 *';

@Injectable()
class Jobs {
  readonly runs: string[] = [];
  work: () => Promise<void> = () => Promise.resolve();

  @Cron(never, { name: 'above' })
  @CronLock('below-cron', { atLeast: '20s' })
  above(): Promise<string> {
    return this.run('above');
  }

  @CronLock('above-cron', { atLeast: '20s' })
  @Cron(never, { name: 'below' })
  below(): Promise<string> {
    return this.run('below');
  }

  @Interval(60)
  @CronLock('below-interval', { atLeast: '20s' })
  intervalAbove(): Promise<string> {
    return this.run('intervalAbove');
  }

  @CronLock('above-interval', { atLeast: '20s' })
  @Interval(60)
  intervalBelow(): Promise<string> {
    return this.run('intervalBelow');
  }

  @CronLock('above-timeout', { atLeast: '20s' })
  @Timeout(60)
  timeout(): Promise<string> {
    return this.run('timeout');
  }

  @CronLock('usual')
  usual(): Promise<string> {
    return this.run('usual');
  }

  @CronLock('frequent')
  frequent(): Promise<string> {
    return this.run('frequent');
  }

  @CronLock('short', { atMost: '3s' })
  short(): Promise<string> {
    return this.run('short');
  }

  @CronLock('long', { atLeast: '50s' })
  long(): Promise<string> {
    return this.run('long');
  }

  @CronLock('bounded', { atLeast: 0, atMost: 2_400 })
  bounded(): Promise<string> {
    return this.run('bounded');
  }

  @CronLock('same-name')
  first(): Promise<string> {
    return this.run('first');
  }

  @CronLock('same-name')
  second(): Promise<string> {
    return this.run('second');
  }

  @CronLock('elsewhere', { name: 'second', atLeast: 0 })
  elsewhere(): Promise<string> {
    return this.run('elsewhere');
  }

  protected async run(job: string): Promise<string> {
    this.runs.push(job);
    await this.work();
    return job;
  }
}

@Controller()
class JobsController {
  @Get('above')
  @CronLock('below-get', { atLeast: '20s' })
  above(): Promise<object> {
    return Promise.resolve({ locked: currentLock()?.keys });
  }

  @CronLock('above-get', { atLeast: '20s' })
  @Get('below')
  below(): Promise<object> {
    return Promise.resolve({ locked: currentLock()?.keys });
  }
}

/** What all instances of this process have logged: Nest has one logger for all. */
const logged = { warnings: [] as string[], errors: [] as unknown[] };
const logger: LoggerService = {
  log: () => undefined,
  warn: (message: unknown) => logged.warnings.push(String(message)),
  error: (message: unknown) => logged.errors.push(message),
};
beforeEach(() => {
  logged.warnings.length = 0;
  logged.errors.length = 0;
});

/** One instance of a deployment. */
class Instance implements AsyncDisposable {
  private constructor(readonly app: INestApplication) {
    app.useLogger(logger);
  }

  static async start(
    target: Omit<RedisModuleOptions, 'namespace'>,
    options: RedisLockOptions = { commandTimeout: '5s' },
    schedule = { intervals: false, timeouts: false },
  ): Promise<Instance> {
    const module = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'shop', ...target }),
        RedisLockModule.forRoot(options),
        RedisLockModule.forRoot({ ...options, name: 'second', ttl: '7s' }),
        ScheduleModule.forRoot(schedule),
      ],
      controllers: [JobsController],
      providers: [Jobs],
    }).compile();
    const instance = new Instance(module.createNestApplication());
    await instance.app.init();
    return instance;
  }

  get jobs(): Jobs {
    return this.app.get(Jobs);
  }

  get locks(): LockService {
    return this.app.get(LockService);
  }

  fire(job: string): Promise<void> {
    return this.app.get(SchedulerRegistry).getCronJob(job).fireOnTick();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.app.close();
  }
}

const key = (name: string) => `shop:lock:{${name}}`;

describeOn(
  standalone,
  sentinel,
  cluster,
)('@CronLock', (redis) => {
  let here: Instance;
  let there: Instance;
  beforeAll(async () => {
    here = await Instance.start(redis.connection);
    there = await Instance.start(redis.connection);
  });
  afterAll(async () => {
    await here.app.close();
    await there.app.close();
  });
  beforeEach(() => {
    for (const { jobs } of [here, there]) {
      jobs.runs.length = 0;
      jobs.work = () => Promise.resolve();
    }
  });
  const runs = () => [...here.jobs.runs, ...there.jobs.runs];

  it.each(['above', 'below'])('runs a tick on one instance, with @Cron %s it', async (job) => {
    const lock = key(job === 'above' ? 'below-cron' : 'above-cron');
    await Promise.all([here.fire(job), there.fire(job)]);
    await eventually(async () => {
      const lease = await redis.client().pttl(lock);
      expect(lease).toBeGreaterThan(10_000);
      expect(lease).toBeLessThanOrEqual(20_000); // It has ended, and is kept for atLeast.
    });
    await Promise.all([here.fire(job), there.fire(job)]);
    // Whoever asks after them is answered after them.
    const method = job === 'above' ? 'above' : 'below';
    expect([await here.jobs[method](), await there.jobs[method]()]).toEqual([undefined, undefined]);
    expect(runs()).toEqual([job]);
    expect(logged.errors).toEqual([]);
  });

  it('returns what the method returns where it runs, and undefined where not', async () => {
    const results: unknown[] = await Promise.all([here.jobs.usual(), there.jobs.usual()]);
    expect(results.filter((result) => result !== undefined)).toEqual(['usual']);
    expect(runs()).toEqual(['usual']);
  });

  it('can be asked for over HTTP, above and below @Get', async () => {
    await here.app.listen(0, '127.0.0.1');
    const url = await here.app.getUrl();
    for (const [path, name] of [
      ['above', 'below-get'],
      ['below', 'above-get'],
    ] as const) {
      const answers = [await fetch(`${url}/${path}`), await fetch(`${url}/${path}`)];
      expect(await answers[0]?.json()).toEqual({ locked: [key(name)] });
      expect(await answers[1]?.text()).toBe('');
    }
  });

  it('has a lease while it runs that keeps a killed instance from freeing it before atLeast, and not beyond atMost', async () => {
    const leaseOf = async (job: 'usual' | 'long' | 'short') => {
      const ends = deferred();
      here.jobs.work = () => ends.promise;
      const running = here.jobs[job]();
      await eventually(() => here.jobs.runs.includes(job));
      const lease = await redis.client().pttl(key(job));
      ends.resolve();
      await running;
      return { lease, kept: await redis.client().pttl(key(job)) };
    };
    const usual = await leaseOf('usual');
    expect(usual.lease).toBeGreaterThan(25_000); // The ttl of the module, 30 s
    expect(usual.kept).toBeGreaterThan(1_000);
    expect(usual.kept).toBeLessThanOrEqual(4_000);
    const long = await leaseOf('long');
    expect(long.lease).toBeGreaterThan(45_000);
    const short = await leaseOf('short');
    expect(short.lease).toBeLessThanOrEqual(3_000);
    expect(short.kept).toBeLessThanOrEqual(3_000);
  });

  it('is inspected and freed by its name', async () => {
    await here.jobs.usual();
    expect(await there.locks.isLocked('usual')).toBe(true);
    expect(await there.locks.forceRelease('usual')).toBe(true);
    expect(await there.jobs.usual()).toBe('usual');
  });

  it('takes the lock away from a run that is wedged, which hears of it', async () => {
    const aborted = deferred<unknown>();
    const ends = deferred();
    here.jobs.work = () => {
      const signal = currentLock()?.signal;
      signal?.addEventListener('abort', () => {
        aborted.resolve(signal.reason);
      });
      return ends.promise;
    };
    const wedged = failureOf(here.jobs.bounded());
    await eventually(() => here.jobs.runs.length === 1);
    expect(await there.jobs.bounded()).toBeUndefined();
    expect(await aborted.promise).toMatchObject({ code: 'LOCK_LOST' });
    await eventually(async () => {
      expect(await there.jobs.bounded()).toBe('bounded');
    });
    ends.resolve();
    expect(await wedged).toMatchObject({ code: 'LOCK_LOST' });
  });

  it('rejects with what the job throws, an outage of its own included, and keeps the tick taken', async () => {
    const own = new RedisUnavailableError('the job asked for it', 'unknown');
    here.jobs.work = () => Promise.reject(own);
    expect(await failureOf(here.jobs.usual())).toBe(own);
    expect(logged.warnings).toEqual([]);
    expect(await there.jobs.usual()).toBeUndefined();

    // To the scheduler it is one more error of a job: it is logged, and no rejection is left.
    const business = new Error('business');
    here.jobs.work = () => Promise.reject(business);
    await here.fire('above');
    await eventually(() => logged.errors.length === 1);
    expect(logged.errors).toEqual([business]);
  });

  it('refuses a second job of the same name, which names both', async () => {
    expect(await here.jobs.first()).toBe('first');
    const error = await failureOf(here.jobs.second());
    expect(error).toBeInstanceOf(OptionsError);
    expect(error.message).toMatch(/"same-name".*Jobs\.first.*Jobs\.second.*name of its own/);
    expect(here.jobs.runs).toEqual(['first']);
  });

  it('tells once of being called more often than atLeast allows, unless that was set', async () => {
    await here.jobs.frequent();
    await there.jobs.frequent();
    expect(logged.warnings).toEqual([]);
    for (let call = 0; call < 3; call++) await here.jobs.frequent();
    expect(logged.warnings).toEqual([
      expect.stringMatching(/^"frequent" was called again \d+ ms after.*4000 ms by default/),
    ]);
    await there.jobs.long();
    await there.jobs.long();
    expect(logged.warnings).toHaveLength(1);
    expect(runs()).toEqual(['frequent', 'long']);
  });

  it('takes the lock of the module that it names', async () => {
    let lease = 0;
    here.jobs.work = async () => {
      lease = await redis.client().pttl(key('elsewhere'));
    };
    expect(await here.jobs.elsewhere()).toBe('elsewhere');
    expect(lease).toBeGreaterThan(5_000);
    expect(lease).toBeLessThanOrEqual(7_000);
  });

  it('refuses wrong options where the class is defined', () => {
    const refused = (name: unknown, options: object = {}) => {
      try {
        CronLock(name as string, options);
      } catch (error) {
        expect(error).toBeInstanceOf(OptionsError);
        return error instanceof Error ? error.message : '';
      }
      throw new Error('It was accepted.');
    };
    expect(refused('')).toContain('@CronLock(name)');
    expect(refused(() => 'x')).toContain('@CronLock(name)');
    expect(refused('x', { atLeast: '5 minutes' })).toContain('@CronLock("x").atLeast');
    expect(refused('x', { atMost: 50 })).toContain('@CronLock("x").atMost');
    expect(refused('x', { atLeast: '2s', atMost: '1s' })).toContain('2000 ms is more than atMost, 1000 ms');
    expect(refused('x', { ttl: '1s' })).toContain('@CronLock("x").ttl');
    expect(refused('x', { name: '' })).toContain('@CronLock("x").name');
  });
});

describeOn(standalone)('@CronLock', (redis) => {
  it.each([
    ['@Interval above it', 'intervalAbove', 'below-interval'],
    ['@Interval below it', 'intervalBelow', 'above-interval'],
    ['@Timeout below it', 'timeout', 'above-timeout'],
  ])('runs on one instance with %s', async (_order, job, name) => {
    const schedule = { intervals: true, timeouts: true };
    const options = { commandTimeout: '5s' } as const;
    await using here = await Instance.start(redis.connection, options, schedule);
    await using there = await Instance.start(redis.connection, options, schedule);
    const runs = () => [...here.jobs.runs, ...there.jobs.runs].filter((run) => run === job);
    await eventually(() => runs().length > 0);
    const began = performance.now();
    await eventually(() => performance.now() - began > 400); // Each of them several times.
    expect(runs()).toEqual([job]);
    expect(await redis.client().pttl(key(name))).toBeGreaterThan(0);
  });

  it('leaves the job out while Redis is down, says so once, and runs it again afterwards', async () => {
    await using proxy = await FaultProxy.start(redis.server);
    await using instance = await Instance.start({ url: proxy.url }, { commandTimeout: 200 });
    const rejections: unknown[] = [];
    const onRejection = (reason: unknown) => rejections.push(reason);
    process.on('unhandledRejection', onRejection);
    try {
      const outage = proxy.refuse();
      proxy.reset();
      for (let tick = 0; tick < 3; tick++) expect(await instance.jobs.usual()).toBeUndefined();
      await instance.fire('above');
      expect(await instance.jobs.above()).toBeUndefined();
      expect(outage.injected).toBeGreaterThan(0);
      expect(instance.jobs.runs).toEqual([]);
      const told = (name: string) => logged.warnings.filter((warning) => warning.startsWith(`"${name}" is left out`));
      expect([told('usual').length, told('below-cron').length]).toEqual([1, 1]);
      outage.stop();
      await eventually(
        async () => {
          expect(await instance.jobs.usual()).toBe('usual');
        },
        { within: 30_000 },
      );
      expect(logged.errors).toEqual([]);
      expect(rejections).toEqual([]);
    } finally {
      process.off('unhandledRejection', onRejection);
    }
  });

  it('does not run when nobody knows whether the lock was taken, and leaves it to others then', async () => {
    await using proxy = await FaultProxy.start(redis.server);
    await using cutOff = await Instance.start({ url: proxy.url }, { commandTimeout: '1s' });
    await using other = await Instance.start(redis.connection);
    await cutOff.jobs.long(); // Loads the script.
    const lost = proxy.dropReply('EVALSHA');
    expect(await cutOff.jobs.usual()).toBeUndefined();
    expect(lost.injected).toBe(1);
    expect(logged.warnings).toEqual([expect.stringContaining('"usual" is left out')]);
    await eventually(
      async () => {
        expect(await other.jobs.usual()).toBe('usual');
      },
      { within: 30_000 },
    );
    expect(cutOff.jobs.runs).toEqual(['long']);
  });
});
