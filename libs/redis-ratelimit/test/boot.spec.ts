import { Controller, Get, Injectable, Module, UseGuards, type Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { RedisModule } from '@redstart/redis-core';
import { describeOn, standalone } from '@redstart/redis-testing';
import {
  createPolicies,
  ipIn,
  getRateLimitToken,
  LimitCalls,
  RateLimit,
  RateLimitGuard,
  RateLimitService,
  RedisRateLimitModule,
  SkipRateLimit,
  slidingWindow,
} from '../src/index.js';
import { startApp, testPolicies } from './test-app.js';

@Controller()
class LimitedController {
  @RateLimit('api')
  @Get()
  get() {
    return 1;
  }
}

@Controller('other')
class OtherController {
  @RateLimit('other', { limiter: 'second' })
  @SkipRateLimit('api')
  @Get()
  get() {
    return 1;
  }
}

@Injectable()
class LimitedService {
  @LimitCalls('api', { key: () => 'x' })
  async run() {
    return Promise.resolve(1);
  }
}

@Controller()
class TwiceInline {
  @RateLimit({ limit: 1, window: '1m' })
  @RateLimit({ limit: 5, window: '1h' })
  @Get()
  get() {
    return 1;
  }
}

@Controller()
class BareGuard {
  @UseGuards(RateLimitGuard)
  @Get()
  get() {
    return 1;
  }

  @RateLimit('api')
  @Get('limited')
  limited() {
    return 1;
  }
}

@UseGuards(RateLimitGuard)
@Controller()
class BareClass {
  @Get()
  get() {
    return 1;
  }
}

/** The guard once more beside limits does no harm. */
@UseGuards(RateLimitGuard)
@Controller()
class GuardedTwice {
  @UseGuards(RateLimitGuard)
  @RateLimit('api')
  @Get()
  get() {
    return 1;
  }

  @Get('free')
  free() {
    return 1;
  }
}

@RateLimit('nope')
@Controller()
class UnknownAtClass {
  @Get()
  get() {
    return 1;
  }
}

@Controller()
class UnknownSkip {
  @SkipRateLimit('nope')
  @Get()
  get() {
    return 1;
  }
}

@Injectable()
class UnknownCalls {
  @LimitCalls('nope', { key: () => 'x' })
  async run() {
    return Promise.resolve(1);
  }
}

@Injectable()
class NoHandler {
  @RateLimit('api')
  run() {
    return 1;
  }
}

@Controller()
class NoRoute {
  @RateLimit('api')
  helper() {
    return 1;
  }
}

@RateLimit('api')
@Injectable()
class NoController {}

/** A decorator as they are found in the wild: calls the method, and forgets what was declared at it. */
const Log = ({ copies = false } = {}): MethodDecorator => {
  return (_target, _name, descriptor: PropertyDescriptor) => {
    const method: unknown = descriptor.value;
    if (typeof method !== 'function') return;
    const logged = function (this: unknown, ...args: unknown[]): unknown {
      return Reflect.apply(method, this, args);
    };
    if (copies) {
      for (const key of Reflect.getMetadataKeys(method)) {
        Reflect.defineMetadata(key, Reflect.getMetadata(key, method), logged);
      }
    }
    descriptor.value = logged;
  };
};

@Controller()
class Lost {
  @Get()
  @Log()
  @RateLimit('api')
  get() {
    return 1;
  }
}

@Controller()
class HalfLost {
  @Get()
  @RateLimit('search')
  @Log()
  @RateLimit('api')
  get() {
    return 1;
  }
}

@Controller()
class LostSkip {
  @Get()
  @Log()
  @SkipRateLimit()
  get() {
    return 1;
  }
}

class LosingBase {
  @Get()
  @Log()
  @RateLimit('api')
  get() {
    return 1;
  }
}

@Controller()
class LosesByInheritance extends LosingBase {}

@Controller()
class Kept extends LosingBase {
  @RateLimit('api')
  @Get()
  @Log()
  override get() {
    return 1;
  }

  @Get('copied')
  @Log({ copies: true })
  @SkipRateLimit('search')
  @RateLimit('api')
  copied() {
    return 1;
  }
}

function namesake(): Type {
  @Controller('namesake')
  class Namesake {
    @RateLimit({ limit: 1, window: '1m' })
    @Get()
    get() {
      return 1;
    }
  }
  return Namesake;
}

const moduleOf = (controllers: Type[], providers: Type[] = []): Type => {
  @Module({ controllers, providers })
  class FeatureModule {}
  return FeatureModule;
};

describeOn(standalone)('the boot', (redis) => {
  // A boot that fails leaves nobody to close a connection, so these use a client that the suite closes.
  const connection = () => ({ client: redis.client() });
  const redisModule = () => RedisModule.forRoot({ namespace: 'test', ...connection() });
  const boot = async (...modules: Type[]) => {
    const app = await startApp(connection(), {}, { imports: modules });
    await app.close();
  };

  it.each([
    ['a controller', 'LimitedController', () => moduleOf([LimitedController])],
    ['a service', 'LimitedService', () => moduleOf([], [LimitedService])],
  ])('names class and module when the module is forgotten: %s', async (_, name, feature) => {
    const compiling = Test.createTestingModule({ imports: [redisModule(), feature()] }).compile();
    const message = await compiling.then(
      () => 'booted',
      (error: unknown) => String(error),
    );
    expect(message).toContain(name);
    expect(message).toContain('import RedisRateLimitModule.forRoot()');
  });

  it.each([
    [
      '@RateLimit on UnknownAtClass: no rate limit policy is named "nope". Known policies: api, search.',
      moduleOf([UnknownAtClass]),
    ],
    ['@SkipRateLimit on UnknownSkip.get: no rate limit policy is named "nope"', moduleOf([UnknownSkip])],
    ['@LimitCalls on UnknownCalls.run: no rate limit policy is named "nope"', moduleOf([], [UnknownCalls])],
    [
      '@RateLimit or @SkipRateLimit on NoHandler.run: this method is no HTTP, GraphQL, WebSocket or message handler',
      moduleOf([], [NoHandler]),
    ],
    [
      '@RateLimit or @SkipRateLimit on NoRoute.helper: this method is no HTTP, GraphQL, WebSocket or message handler',
      moduleOf([NoRoute]),
    ],
    [
      '@RateLimit or @SkipRateLimit on NoController: this class is no controller, gateway or resolver',
      moduleOf([], [NoController]),
    ],
    ['@RateLimit or @SkipRateLimit on Lost.get: another decorator above it', moduleOf([Lost])],
    ['@RateLimit or @SkipRateLimit on HalfLost.get: another decorator above it', moduleOf([HalfLost])],
    ['@RateLimit or @SkipRateLimit on LostSkip.get: another decorator above it', moduleOf([LostSkip])],
    ['@RateLimit or @SkipRateLimit on LosesByInheritance.get: another', moduleOf([LosesByInheritance])],
    ['rate limit "Namesake.get": is written at two places', moduleOf([namesake(), namesake()])],
    ['For several limits at one place use all(…)', moduleOf([TwiceInline])],
    ['@UseGuards(RateLimitGuard) on BareGuard.get: limits nothing by itself', moduleOf([BareGuard])],
    ['@UseGuards(RateLimitGuard) on BareClass: limits nothing by itself', moduleOf([BareClass])],
  ])('fails: %s', async (message, feature) => {
    await expect(boot(feature)).rejects.toThrow(message);
  });

  it('passes for the guard beside limits, and where global policies are what it limits by', async () => {
    await (await startApp(redis.connection, {}, { controllers: [GuardedTwice] })).close();
    await (await startApp(redis.connection, { global: ['api'] }, { controllers: [BareGuard, BareClass] })).close();
  });

  it('says what to do about a decorator that has lost a limit, and lets pass one that has not', async () => {
    await expect(boot(moduleOf([Lost]))).rejects.toThrow(
      'Put @RateLimit on top of that decorator, or let that one copy the metadata.',
    );
    await boot(moduleOf([Kept]));
  });

  it('fails for what a factory has made', async () => {
    @Module({ providers: [{ provide: 'made', useFactory: () => new NoHandler() }] })
    class FactoryModule {}
    await expect(boot(FactoryModule)).rejects.toThrow('NoHandler.run');
  });

  it.each([
    ['allow', { allow: ipIn('10.0.0.0/8') }],
    ['allow[1]', { allow: [() => true, '10.0.0.0/8'] }],
    ['deny[0]', { deny: [true] }],
    ['skip', { skip: true }],
    ['anonymous', { anonymous: 'allow' }],
    ['anonymous.key', { anonymous: { key: 'ip' } }],
    ['"nope"', { anonymous: { policy: 'nope' } }],
    ['headers.legasy', { headers: { legasy: true } }],
    ['headers.expose', { headers: { expose: true } }],
    ['headers.partitionKeySecret', { headers: { partitionKeySecret: 'short' } }],
    ['global', { global: 'api' }],
    ['global[0]', { global: [1] }],
    ['global[0].on[1]', { global: [{ policy: 'api', on: ['http', 'grpc'] }] }],
    ['global[0]', { global: [{ policy: 'api', on: 'http' }] }],
    ['global[0].key', { global: [{ policy: 'api', key: 'ip' }] }],
    ['global[0].cost', { global: [{ policy: 'api', cost: -1 }] }],
    ['"nope"', { global: [{ policy: 'nope' }] }],
  ])('fails for a wrong %s', async (option, options: object) => {
    await expect(startApp(connection(), options)).rejects.toThrow(option);
  });

  it.each([
    ['@RateLimit.key', { key: 'ip' }],
    ['@RateLimit.cost', { cost: 1.5 }],
    ['@RateLimit.cost', { cost: -1 }],
    ['@RateLimit.cost', { cost: Number.NaN }],
    ['@RateLimit.cost', { cost: 2 ** 31 + 1 }],
    ['@RateLimit.skip', { skip: true }],
    ['@RateLimit.anonymous', { anonymous: 'skip' }],
    ['@RateLimit.refundOn', { refundOn: 500 }],
    ['@RateLimit.limiter', { limiter: '' }],
    ['@RateLimit.keys', { keys: () => 'x' }],
  ])('fails where the class is defined, for a wrong %s', (option, options: object) => {
    expect(() => RateLimit('api', options)).toThrow(option);
  });

  it.each(['', 'a b', 'a"b', 'a\r\nSet-Cookie: x', 'ä', 'x'.repeat(129)])(
    'refuses %j as the name of a policy',
    (name) => {
      class Named {
        get() {
          return 1;
        }
      }
      expect(() => RateLimit(name)(Named)).toThrow('is no name of a policy');
      expect(() => SkipRateLimit(name)).toThrow('is no name of a policy');
      expect(() => createPolicies({ [name]: slidingWindow({ limit: 1, window: 1 }) })).toThrow(
        'is no name of a policy',
      );
    },
  );

  it.each([null, undefined, 1, {}, { limit: 1 }, { limit: 0, window: '1m' }, { rate: 1 }])(
    'refuses the policy %j',
    (policy) => {
      class Limited {
        get() {
          return 1;
        }
      }
      expect(() => RateLimit(policy as unknown as string)(Limited)).toThrow();
    },
  );

  it('fails for an unknown policy of requests without identity', async () => {
    @Controller()
    class Anonymous {
      @RateLimit('api', { anonymous: { policy: 'nope' } })
      @Get()
      get() {
        return 1;
      }
    }
    await expect(boot(moduleOf([Anonymous]))).rejects.toThrow(
      '@RateLimit on Anonymous.get, anonymous: no rate limit policy',
    );
  });

  it('fails for wrong options, unknown global policies, and the same name twice', async () => {
    await expect(startApp(connection(), { global: ['nope'] })).rejects.toThrow('"nope"');
    await expect(startApp(connection(), { headers: true, ...{ budgt: 1 } })).rejects.toThrow('budgt');
    const twice = Test.createTestingModule({
      imports: [
        redisModule(),
        RedisRateLimitModule.forRoot({ policies: testPolicies }),
        RedisRateLimitModule.forRoot({ policies: testPolicies }),
      ],
    });
    await expect(twice.compile()).rejects.toThrow('imported 2 times');
  });

  it('takes asynchronous options and several modules by name', async () => {
    const testing = await Test.createTestingModule({
      imports: [
        redisModule(),
        RedisRateLimitModule.forRootAsync({
          name: 'second',
          useFactory: () =>
            Promise.resolve({ policies: createPolicies({ other: slidingWindow({ limit: 1, window: '1h' }) }) }),
        }),
        RedisRateLimitModule.forRoot({ policies: testPolicies }),
        moduleOf([LimitedController, OtherController]),
      ],
    }).compile();
    const app = await testing.init();
    expect((await app.get(RateLimitService).peek('api', 'x')).allowed).toBe(true);
    const other = app.get<RateLimitService>(getRateLimitToken('second'));
    expect((await other.peek('other', 'x')).limit).toBe(1);
    await expect(app.get(RateLimitService).peek('other', 'x')).rejects.toThrow('no rate limit policy');
    await app.close();
  });
});
