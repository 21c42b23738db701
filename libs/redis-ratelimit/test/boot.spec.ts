import { Controller, Get, Injectable, Module, type Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { RedisModule } from '@redstart/redis-core';
import { describeOn, standalone } from '@redstart/redis-testing';
import {
  createPolicies,
  getRateLimitToken,
  LimitCalls,
  RateLimit,
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
  ])('fails: %s', async (message, feature) => {
    await expect(boot(feature)).rejects.toThrow(message);
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
