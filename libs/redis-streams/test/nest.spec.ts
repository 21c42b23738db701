import {
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExecutionContext,
  type ExceptionFilter,
  Global,
  Inject,
  Injectable,
  Module,
  type NestInterceptor,
  type PipeTransform,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
} from '@nestjs/common';
import { APP_GUARD, REQUEST } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { OptionsError, RedisModule } from '@redstart/redis-core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { of, switchMap } from 'rxjs';
import {
  defineStream,
  event,
  getStreamToken,
  InjectStream,
  RedisStreamsModule,
  StreamConsumer,
  type StreamContext,
  StreamCtx,
  StreamHandler,
  StreamPayload,
  StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { billingDeadLetters, entries, ordersKey, pending } from './support/read-redis.js';
import { closeApps, compileApp, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

describeOn(standalone)('inside Nest', (redis) => {
  async function start(options: Omit<AppOptions, 'connection' | 'streams'>) {
    const app = await startApp({ connection: redis.connection, streams: [orders], ...options });
    return app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
  }

  it('runs guards, interceptors, pipes and filters of the handler, with the context type redis-stream', async () => {
    const log: string[] = [];
    class Guard implements CanActivate {
      canActivate(context: ExecutionContext) {
        log.push(`guard ${context.getType<string>()} ${context.getClass().name}.${context.getHandler().name}`);
        return true;
      }
    }
    class Interceptor implements NestInterceptor {
      intercept(_context: ExecutionContext, next: CallHandler) {
        log.push('interceptor');
        return of(0).pipe(switchMap(() => next.handle()));
      }
    }
    class Doubling implements PipeTransform {
      transform(value: unknown, { type }: { type: string }) {
        return type === 'body' && typeof value === 'object' && value !== null && 'id' in value
          ? { id: Number(value.id) * 2 }
          : value;
      }
    }
    @Catch(RangeError)
    class Filter implements ExceptionFilter {
      catch(error: RangeError, host: ArgumentsHost) {
        log.push(`filter ${error.message} ${host.getType<string>()}`);
        return 'handled';
      }
    }
    @UseGuards(Guard)
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @UsePipes(Doubling)
      @UseInterceptors(Interceptor)
      @UseFilters(Filter)
      @StreamHandler(orders.event('order.created'))
      created(order: OrderCreated, ctx: StreamContext) {
        log.push(`handler ${order.id} ${ctx.type}`);
        throw new RangeError('oops');
      }
    }
    const producer = await start({ consumers: [Billing] });
    await producer.publish('order.created', { id: 21 });

    await eventually(() => log.length === 4);
    expect(log).toEqual([
      'guard redis-stream Billing.created',
      'interceptor',
      'handler 42 order.created',
      'filter oops redis-stream',
    ]);
    // A filter that returns has handled the error.
    await eventually(async () => (await pending(redis.client())).length === 0);
    expect(await redis.client().exists(billingDeadLetters)).toBe(0);
  });

  it('makes a message that a guard refuses a dead letter', async () => {
    class Refusing implements CanActivate {
      canActivate = () => false;
    }
    @UseGuards(Refusing)
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created() {
        throw new Error('never reached');
      }
    }
    const producer = await start({ consumers: [Billing] });
    await producer.publish('order.created', { id: 1 });
    await eventually(async () => {
      expect(await entries(redis.client(), billingDeadLetters)).toMatchObject([{ 'x-error': 'ForbiddenException' }]);
    });
  });

  it.each([false, true])(
    'applies global enhancers only when asked to (globalEnhancers: %s)',
    async (globalEnhancers) => {
      const asked: string[] = [];
      const seen: number[] = [];
      class GlobalGuard implements CanActivate {
        canActivate(context: ExecutionContext) {
          asked.push(context.getType<string>());
          return true;
        }
      }
      @StreamConsumer(orders, { group: 'billing' })
      class Billing {
        @StreamHandler(orders.event('order.created'))
        created({ id }: OrderCreated) {
          seen.push(id);
        }
      }
      const producer = await start({
        consumers: [Billing, { provide: APP_GUARD, useClass: GlobalGuard }],
        options: { globalEnhancers },
      });
      await producer.publish('order.created', { id: 1 });
      await eventually(() => seen.length === 1);
      expect(asked).toEqual(globalEnhancers ? ['redis-stream'] : []);
    },
  );

  it('builds a request-scoped consumer for each message, with its context as the request', async () => {
    const seen: { instance: object; request: unknown; ctx: StreamContext }[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    @Injectable({ scope: Scope.REQUEST })
    class Billing {
      constructor(@Inject(REQUEST) private readonly request: unknown) {}
      @StreamHandler(orders.event('order.created'))
      created(_order: OrderCreated, ctx: StreamContext) {
        seen.push({ instance: this, request: this.request, ctx });
      }
    }
    const producer = await start({ consumers: [Billing] });
    await producer.publish('order.created', { id: 1 });
    await producer.publish('order.created', { id: 2 });
    await eventually(() => seen.length === 2);
    expect(seen[0]?.instance).not.toBe(seen[1]?.instance);
    for (const { request, ctx } of seen) expect(request).toBe(ctx);
  });

  it('works on controllers, on inherited handlers, with parameter decorators, and once behind an alias', async () => {
    const seen: string[] = [];
    class Base {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(`${this.constructor.name} created ${id}`);
      }
    }
    @StreamConsumer(orders, { group: 'web' })
    @Controller('billing')
    class BillingController extends Base {}
    @StreamConsumer(orders, { group: 'billing' })
    class Billing extends Base {
      @StreamHandler(orders.event('order.cancelled'))
      cancelled(
        @StreamPayload({ transform: ({ id }: OrderCreated) => ({ id: id + 1 }) }) { id }: OrderCreated,
        @StreamCtx() ctx: StreamContext,
      ) {
        seen.push(`${ctx.type} ${id}`);
      }
    }
    const producer = await start({
      consumers: [Billing, { provide: 'alias', useExisting: Billing }],
      controllers: [BillingController],
    });
    await producer.publish('order.created', { id: 1 });
    await producer.publish('order.cancelled', { id: 1 });
    await eventually(() => {
      expect(seen.toSorted()).toEqual(['Billing created 1', 'BillingController created 1', 'order.cancelled 2']);
    });
  });

  it('reads nothing with consumers: false', async () => {
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created() {
        throw new Error('never reached');
      }
    }
    const producer = await start({ consumers: [Billing], options: { consumers: false } });
    await producer.publish('order.created', { id: 1 });
    expect(await redis.client().xinfo('GROUPS', ordersKey)).toEqual([]);
  });

  it('keeps two applications of one process apart, each message going to one of them', async () => {
    const seen: string[] = [];
    const apps = new Set<string>();
    let bothRead: () => void = () => undefined;
    const both = new Promise<void>((resolve) => (bothRead = resolve));
    const consumer = (name: string) => {
      @StreamConsumer(orders, { group: 'billing', concurrency: 1 })
      class Billing {
        @StreamHandler(orders.event('order.created'))
        async created({ id }: OrderCreated) {
          seen.push(`${name} ${id}`);
          if (apps.add(name).size === 2) bothRead();
          await both; // or the one that reads first may have handled all of them
        }
      }
      return Billing;
    };
    const producer = await start({ consumers: [consumer('a')] });
    await start({ consumers: [consumer('b')] });
    await Promise.all(Array.from({ length: 20 }, (_, id) => producer.publish('order.created', { id })));
    await eventually(() => seen.length === 20);
    expect(new Set(seen.map((text) => text.split(' ')[1])).size).toBe(20);
    expect(apps).toEqual(new Set(['a', 'b']));
  });
});

describeOn(standalone)('mistakes are boot errors', (redis) => {
  // A client of the suite: an application that fails to boot closes none of its own.
  const connection = () => ({ client: redis.client() });
  const boot = async (options: Omit<AppOptions, 'connection' | 'streams'>) => {
    const app = await compileApp({ connection: connection(), streams: [orders], ...options });
    await app.init();
  };
  const connect = () => RedisModule.forRoot({ namespace: 'shop', ...connection() });

  it('names the class and the module when forFeature was forgotten', async () => {
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created() {
        return undefined;
      }
    }
    class Publisher {
      constructor(@InjectStream(orders) readonly producer: StreamProducer<typeof orders>) {}
    }
    for (const provider of [Billing, Publisher]) {
      const app = Test.createTestingModule({
        imports: [connect(), RedisStreamsModule.forRoot({ service: 'test' })],
        providers: [provider],
      });
      const error: unknown = await app.compile().catch((reason: unknown) => reason);
      expect(String(error)).toContain(provider.name);
      expect(String(error)).toContain('import RedisStreamsModule.forFeature([orders])');
    }
  });

  it('names the module when forRoot was forgotten', async () => {
    @Global()
    @Module({ imports: [RedisStreamsModule.forFeature([orders])] })
    class Feature {}
    const app = Test.createTestingModule({ imports: [connect(), Feature] });
    await expect(app.compile()).rejects.toThrow('import RedisStreamsModule.forRoot({ service');
  });

  it('refuses handlers that would never be called, and groups that would lose messages', async () => {
    const other = defineStream('other', { events: { tick: event<number>() } });
    class NoConsumer {
      @StreamHandler(orders.event('order.created'))
      created() {
        return undefined;
      }
    }
    @StreamConsumer(orders, { group: 'billing' })
    class NoHandlers {}
    @StreamConsumer(orders, { group: 'billing' })
    class Foreign {
      @StreamHandler(other.event('tick'))
      tick() {
        return undefined;
      }
    }
    @StreamConsumer(orders, { group: 'billing' })
    class First extends NoConsumer {}
    @StreamConsumer(orders, { group: 'billing' })
    class Second extends NoConsumer {}
    @StreamConsumer(orders, { group: 'billing' })
    class Twice extends NoConsumer {
      @StreamHandler(orders.event('order.created'))
      again() {
        return undefined;
      }
    }
    await expect(boot({ consumers: [NoConsumer] })).rejects.toThrow('NoConsumer: has methods with @StreamHandler');
    await expect(boot({ consumers: [NoHandlers] })).rejects.toThrow('NoHandlers: is a @StreamConsumer without any');
    await expect(boot({ consumers: [Foreign] })).rejects.toThrow('handles "tick" of the stream "other"');
    await expect(boot({ consumers: [First, Second] })).rejects.toThrow('is on First and on Second');
    await expect(boot({ consumers: [Twice] })).rejects.toThrow('An event has one handler per group');
  });

  it('refuses a handler that another decorator or an override covers', async () => {
    const Log =
      ({ copy }: { copy: boolean }): MethodDecorator =>
      (_target, _key, descriptor: PropertyDescriptor) => {
        const original = descriptor.value as (...args: unknown[]) => unknown;
        descriptor.value = function (this: unknown, ...args: unknown[]) {
          return original.apply(this, args);
        };
        if (!copy) return;
        for (const key of Reflect.getMetadataKeys(original)) {
          Reflect.defineMetadata(key, Reflect.getMetadata(key, original), descriptor.value as object);
        }
      };
    @StreamConsumer(orders, { group: 'billing' })
    class Covered {
      @Log({ copy: false })
      @StreamHandler(orders.event('order.created'))
      created() {
        return undefined;
      }
      @StreamHandler(orders.event('order.cancelled'))
      cancelled() {
        return undefined;
      }
    }
    class Base {
      @StreamHandler(orders.event('order.created'))
      created(): unknown {
        return undefined;
      }
    }
    @StreamConsumer(orders, { group: 'billing' })
    class Overriding extends Base {
      override created() {
        return 1;
      }
      @StreamHandler(orders.event('order.cancelled'))
      cancelled() {
        return undefined;
      }
    }
    @StreamConsumer(orders, { group: 'billing' })
    class Stacked {
      @StreamHandler(orders.event('order.created'))
      @StreamHandler(orders.event('order.cancelled'))
      both() {
        return undefined;
      }
    }
    @StreamConsumer(orders, { group: 'billing' })
    class Fine extends Base {
      @StreamHandler(orders.event('order.created'))
      override created() {
        return 1;
      }
      @Log({ copy: true })
      @StreamHandler(orders.event('order.cancelled'))
      cancelled() {
        return undefined;
      }
    }
    const error: unknown = await boot({ consumers: [Covered] }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OptionsError);
    expect(String(error)).toContain('Covered.created: was given @StreamHandler(order.created)');
    expect(String(error)).toContain('put @StreamHandler on top');
    await expect(boot({ consumers: [Overriding] })).rejects.toThrow('Overriding.created: was given');
    await expect(boot({ consumers: [Stacked] })).rejects.toThrow(
      'Stacked.both: was given @StreamHandler(order.cancelled)',
    );
    await startApp({ connection: connection(), streams: [orders], consumers: [Fine] });
  });

  it('refuses two definitions of one name, and wrong options where they are written', async () => {
    const twin = defineStream('orders', { events: { tick: event<number>() } });
    await expect(boot({ imports: [RedisStreamsModule.forFeature([twin])] })).rejects.toThrow(
      'there are two definitions of the stream "orders"',
    );
    expect(() => RedisStreamsModule.forRoot({ service: 'x', minIdle: '5 s' })).toThrow('RedisStreamsModule.minIdle');
    expect(() => RedisStreamsModule.forRoot({ service: '' })).toThrow('RedisStreamsModule.service');
    expect(() => RedisStreamsModule.forRoot({ service: 'x', retries: 3 } as never)).toThrow('retries');
    expect(() => StreamConsumer(orders, { group: 'g', concurrency: 0 })).toThrow('@StreamConsumer(orders).concurrency');
    expect(() => orders.event('order.lost' as never)).toThrow('Known events: order.created');
  });
});
