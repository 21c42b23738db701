import { getEventListeners } from 'node:events';
import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import {
  type CanActivate,
  Controller,
  type DynamicModule,
  Get,
  Inject,
  Injectable,
  Module,
  Param,
  ParseIntPipe,
  type Provider,
  Scope,
  SetMetadata,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { ModuleRef, REQUEST } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  concat,
  EMPTY,
  finalize,
  firstValueFrom,
  lastValueFrom,
  NEVER,
  Observable,
  of,
  Subject,
  take,
  throwError,
  toArray,
} from 'rxjs';
import { bindMethod } from '../src/binding/bind-method.js';
import { MethodCancelledError, MethodResultError, UnboundMethodError } from '../src/binding/binding.errors.js';
import type { MethodBinding, MethodCall } from '../src/binding/method-binding.js';
import { OptionsError } from '../src/redis.errors.js';

/** Notes the calls it wraps, as a lock or a limit would. */
class Recorder {
  readonly events: string[] = [];
  readonly calls: MethodCall[] = [];

  constructor(readonly name = 'recorder') {}

  async around(call: MethodCall, proceed: () => Promise<unknown>): Promise<unknown> {
    this.calls.push(call);
    this.events.push(`>${call.className}.${call.methodName}(${call.args.join()})`);
    try {
      return await proceed();
    } finally {
      this.events.push(`<${call.methodName}`);
    }
  }
}

const recorderToken = Symbol.for('Recorder: import RecorderModule.forRoot()');
const otherToken = Symbol.for('Recorder "other": import RecorderModule.forRoot({ name: "other" })');

function recorded(runtime = recorderToken, around?: MethodBinding<Recorder>['around']) {
  return bindMethod<Recorder>({
    decorator: '@Recorded',
    runtime,
    module: 'RecorderModule.forRoot()',
    around: around ?? ((recorder, call, proceed) => recorder.around(call, proceed)),
  });
}
const Recorded = recorded;

@Module({})
class RecorderModule {
  static forRoot(recorder = new Recorder(), token = recorderToken): DynamicModule {
    return {
      module: RecorderModule,
      global: true,
      providers: [{ provide: token, useValue: recorder }],
      exports: [token],
    };
  }
}

/** Boots an application with these classes and gives its recorder. */
async function boot(providers: Provider[], controllers: Type[] = [], imports: DynamicModule[] = []) {
  const recorder = new Recorder();
  const compiled = await Test.createTestingModule({
    imports: [RecorderModule.forRoot(recorder), ...imports],
    providers,
    controllers,
  }).compile();
  return { recorder, module: compiled, app: compiled };
}

@Injectable()
class Flights {
  readonly #prefix = 'LX';
  constructor(protected readonly moduleRef: ModuleRef) {}

  @Recorded()
  async find(id: string, _day?: number): Promise<string> {
    return Promise.resolve(this.#prefix + id);
  }

  @Recorded()
  async fail(): Promise<never> {
    return Promise.reject(new RangeError('from the method'));
  }

  async both(id: string): Promise<string> {
    return `${await this.find(id)}+${await this.find(id)}`;
  }
}

describe('a bound method', () => {
  it('goes through the service of its application', async () => {
    const { module, recorder } = await boot([Flights]);
    expect(await module.get(Flights).find('42', 7)).toBe('LX42');
    expect(recorder.events).toEqual(['>Flights.find(42,7)', '<find']);
    expect(recorder.calls[0]).toEqual({
      className: 'Flights',
      declaringClass: 'Flights',
      methodName: 'find',
      args: ['42', 7],
      instance: module.get(Flights),
    });
  });

  it('is bound in calls within the class, too', async () => {
    const { module, recorder } = await boot([Flights]);
    expect(await module.get(Flights).both('1')).toBe('LX1+LX1');
    expect(recorder.calls).toHaveLength(2);
  });

  it('passes on what the method rejects with, untouched', async () => {
    const { module } = await boot([Flights]);
    await expect(module.get(Flights).fail()).rejects.toThrow(new RangeError('from the method'));
  });

  it('keeps its name and length, and the instance looks as before', async () => {
    const { module } = await boot([Flights]);
    const flights = module.get(Flights);
    expect([flights.find.name, flights.find.length]).toEqual(['find', 2]);
    expect(Object.keys(flights)).toEqual(['moduleRef']);
    expect(
      Object.getOwnPropertySymbols(flights).filter((key) => Object.prototype.propertyIsEnumerable.call(flights, key)),
    ).toEqual([]);
    expect(inspect(flights)).not.toContain('Recorder');
  });

  it('can be spied on', async () => {
    const { module, recorder } = await boot([Flights]);
    const flights = module.get(Flights);
    const spy = jest.spyOn(flights, 'find');
    await flights.find('1');
    expect(spy).toHaveBeenCalledWith('1');
    expect(recorder.calls).toHaveLength(1);
    spy.mockResolvedValue('mocked');
    expect(await flights.find('1')).toBe('mocked');
  });

  it('of two applications in one process keeps to its own', async () => {
    const [one, two] = [await boot([Flights]), await boot([Flights])];
    await one.module.get(Flights).find('1');
    await two.module.get(Flights).find('2');
    expect(one.recorder.events[0]).toBe('>Flights.find(1)');
    expect(two.recorder.events[0]).toBe('>Flights.find(2)');
    expect([one.recorder.calls.length, two.recorder.calls.length]).toEqual([1, 1]);
  });

  it('follows overrideProvider', async () => {
    const noop = new Recorder('noop');
    const module = await Test.createTestingModule({ imports: [RecorderModule.forRoot()], providers: [Flights] })
      .overrideProvider(recorderToken)
      .useValue(noop)
      .compile();
    await module.get(Flights).find('1');
    expect(noop.calls).toHaveLength(1);
  });

  it('of two named modules of one library uses the one it names', async () => {
    @Injectable()
    class Both {
      @Recorded(recorderToken)
      @Recorded(otherToken)
      async run(): Promise<string> {
        return Promise.resolve('done');
      }
    }
    const other = new Recorder('other');
    const { module, recorder } = await boot([Both], [], [RecorderModule.forRoot(other, otherToken)]);
    expect(await module.get(Both).run()).toBe('done');
    expect([recorder.calls.length, other.calls.length]).toEqual([1, 1]);
  });

  it('may have a symbol as its name', async () => {
    const run = Symbol('run');
    @Injectable()
    class Hidden {
      @Recorded()
      async [run](): Promise<string> {
        return Promise.resolve('done');
      }
    }
    const { module, recorder } = await boot([Hidden]);
    expect(await module.get(Hidden)[run]()).toBe('done');
    expect(recorder.events[0]).toBe('>Hidden.run()');
  });
});

describe('scopes', () => {
  it('of a request have their service in every instance', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {
      constructor(@Inject(REQUEST) readonly request: unknown) {}
      @Recorded()
      async run(): Promise<PerRequest> {
        return Promise.resolve(this);
      }
    }
    const { module, recorder } = await boot([PerRequest]);
    const [one, two] = [await module.resolve(PerRequest), await module.resolve(PerRequest)];
    expect(await one.run()).toBe(one);
    expect(await two.run()).toBe(two);
    expect(recorder.calls.map(({ instance }) => instance)).toEqual([one, two]);
  });

  it('transient ones have theirs, too', async () => {
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient {
      @Recorded()
      async run(): Promise<string> {
        return Promise.resolve('done');
      }
    }
    @Injectable()
    class Owner {
      constructor(readonly transient: Transient) {}
    }
    const { module, recorder } = await boot([Transient, Owner]);
    expect(await module.get(Owner).transient.run()).toBe('done');
    expect(await (await module.resolve(Transient)).run()).toBe('done');
    expect(recorder.calls).toHaveLength(2);
  });
});

describe('inheritance', () => {
  @Injectable()
  class Base {
    @Recorded()
    async run(value: string): Promise<string> {
      return Promise.resolve(`base ${value}`);
    }
  }
  @Injectable()
  class Inheriting extends Base {}
  @Injectable()
  class Overriding extends Base {
    @Recorded()
    override async run(value: string): Promise<string> {
      return `over ${await super.run(value)}`;
    }
  }
  @Injectable()
  class Undecorated extends Base {
    override async run(value: string): Promise<string> {
      return Promise.resolve(`plain ${value}`);
    }
  }

  it('takes the binding along, under the name of the class of the instance', async () => {
    const { module, recorder } = await boot([Inheriting, Base]);
    expect(await module.get(Inheriting).run('x')).toBe('base x');
    expect(recorder.calls[0]).toMatchObject({ className: 'Inheriting', declaringClass: 'Base' });
  });

  it('an override that calls super goes through both', async () => {
    const { module, recorder } = await boot([Overriding]);
    expect(await module.get(Overriding).run('x')).toBe('over base x');
    expect(recorder.calls.map(({ className, declaringClass }) => [className, declaringClass])).toEqual([
      ['Overriding', 'Overriding'],
      ['Overriding', 'Base'],
    ]);
  });

  it('an override without the decorator is a plain method', async () => {
    const { module, recorder } = await boot([Undecorated]);
    expect(await module.get(Undecorated).run('x')).toBe('plain x');
    expect(recorder.calls).toEqual([]);
  });
});

describe('other decorators', () => {
  @Injectable()
  class Deny implements CanActivate {
    static allowed = true;
    canActivate(): boolean {
      return Deny.allowed;
    }
  }
  const Label = (text: string) => SetMetadata('label', text);

  @Controller('below')
  class Below {
    @Recorded()
    @Get(':id')
    @UseGuards(Deny)
    @Label('x')
    async find(@Param('id', ParseIntPipe) id: number): Promise<{ id: number }> {
      return Promise.resolve({ id });
    }
  }
  @Controller('above')
  class Above {
    @Get(':id')
    @UseGuards(Deny)
    @Label('x')
    @Recorded()
    async find(@Param('id', ParseIntPipe) id: number): Promise<{ id: number }> {
      return Promise.resolve({ id });
    }
  }

  it.each([
    ['below', Below],
    ['above', Above],
  ])('work %s ours: route, pipe, guard and metadata', async (path, controller) => {
    const { module, recorder } = await boot([], [controller]);
    const app = module.createNestApplication();
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    const url = `${await app.getUrl()}/${path}`;
    expect(await (await fetch(`${url}/7`)).json()).toEqual({ id: 7 });
    expect((await fetch(`${url}/seven`)).status).toBe(400);
    Deny.allowed = false;
    expect((await fetch(`${url}/7`)).status).toBe(403);
    Deny.allowed = true;
    expect(recorder.calls.map(({ args }) => args)).toEqual([[7]]);
    expect(Reflect.getMetadata('label', controller.prototype.find)).toBe('x');
    await app.close();
  });

  it('of ours run from top to bottom', async () => {
    const order: string[] = [];
    const note = (name: string) =>
      recorded(recorderToken, async (_recorder, _call, proceed) => {
        order.push(`>${name}`);
        const result = await proceed();
        order.push(`<${name}`);
        return result;
      });
    @Injectable()
    class Stacked {
      @note('rate')
      @note('lock')
      @note('cache')
      async run(): Promise<void> {
        order.push('run');
        return Promise.resolve();
      }
    }
    const { module } = await boot([Stacked]);
    await module.get(Stacked).run();
    expect(order).toEqual(['>rate', '>lock', '>cache', 'run', '<cache', '<lock', '<rate']);
  });
});

describe('what is not bound', () => {
  it('a forgotten module stops the boot, naming the class and the module', async () => {
    const boot = Test.createTestingModule({ providers: [Flights] }).compile();
    await expect(boot).rejects.toThrow(/can't resolve dependencies of the Flights/);
    await expect(boot).rejects.toThrow(/Recorder: import RecorderModule\.forRoot\(\)/);
  });

  it.each<[string, Provider]>([
    ['useFactory', { provide: 'flights', useFactory: (ref: ModuleRef) => new Flights(ref), inject: [ModuleRef] }],
    ['useValue', { provide: 'flights', useValue: new Flights(null as never) }],
  ])('an instance from %s rejects at its first call, and the method does not run', async (_how, provider) => {
    const { module } = await boot([provider]);
    const flights = module.get<Flights>('flights');
    const calls = [flights.find('1'), flights.find('1')];
    for (const call of calls) {
      await expect(call).rejects.toThrow(UnboundMethodError);
      await expect(call).rejects.toMatchObject({
        code: 'UNBOUND_METHOD',
        method: 'Flights.find',
        message:
          'Flights.find is decorated with @Recorded, but this instance was not built by Nest, so it could not be bound to RecorderModule.forRoot(). ' +
          'Let Nest construct the class (a plain provider or useClass instead of new, useValue or useFactory), or call the service directly.',
      });
    }
  });

  it('a method without its instance rejects', async () => {
    const { module } = await boot([Flights]);
    const { find } = module.get(Flights);
    await expect(find('1')).rejects.toThrow(/^Flights\.find is decorated/);
  });

  it('a static method is refused where the class is defined', () => {
    const define = () => {
      class Wrong {
        readonly built = true;
        @Recorded()
        static async run(): Promise<void> {
          return Promise.resolve();
        }
      }
      return Wrong;
    };
    expect(define).toThrow(OptionsError);
    expect(define).toThrow('@Recorded on run: Wrong.run is static');
  });

  it('an accessor and a property are refused where the class is defined', () => {
    const decorate = (...rest: [PropertyDescriptor?]) =>
      Reflect.apply(Recorded(), undefined, [Flights.prototype, 'value', ...rest]) as unknown;
    expect(() => decorate({ get: () => 1 })).toThrow('@Recorded on value: this is no method');
    expect(() => decorate({ value: 1 })).toThrow(OptionsError);
    expect(() => decorate()).toThrow(OptionsError);
  });

  it('a build with the other kind of decorators is told what to set', () => {
    const apply = () => Reflect.apply(Recorded(), undefined, [() => 1, { kind: 'method', name: 'run' }]) as unknown;
    expect(apply).toThrow(
      '@Recorded: is a legacy decorator, as those of Nest: set "experimentalDecorators" in tsconfig.json.',
    );
  });

  it("a decorator's own check speaks first", () => {
    const check = jest.fn(() => {
      throw new OptionsError('@Recorded', 'not here');
    });
    const decorator = bindMethod({
      decorator: '@Recorded',
      runtime: recorderToken,
      module: 'M',
      around: async (_r, _c, proceed) => proceed(),
      check,
    });
    const define = () => {
      class Checked {
        @decorator
        async run(): Promise<void> {
          return Promise.resolve();
        }
      }
      return Checked;
    };
    expect(define).toThrow('not here');
    expect(check).toHaveBeenCalledWith(expect.anything(), 'run', expect.objectContaining({ writable: true }));
  });
});

describe('what a method may return', () => {
  @Injectable()
  class Results {
    run(returns: unknown): unknown {
      return returns;
    }
  }
  // Past the compiler, which refuses such a method.
  const descriptor = { value: Results.prototype.run.bind({}), configurable: true, writable: true };
  Reflect.apply(Recorded(), undefined, [Results.prototype, 'run', descriptor]);
  Object.defineProperty(Results.prototype, 'run', descriptor);

  it.each<[unknown, string]>([
    [7, 'Results.run is decorated with @Recorded and must return a promise, but returned 7. Declare it async.'],
    [undefined, 'but returned undefined'],
    [{ secret: 'CANARY' }, 'but returned an object'],
    [of(1), 'Results.run returns an Observable that @Recorded could not foresee. Write the return type out'],
  ])('not %p', async (value, message) => {
    const { module } = await boot([Results]);
    const call = module.get(Results).run(value);
    await expect(call).rejects.toThrow(MethodResultError);
    await expect(call).rejects.toThrow(message);
  });

  it('any thenable', async () => {
    const { module } = await boot([Results]);
    expect(
      await module.get(Results).run({
        then: (resolve: (value: number) => void) => {
          resolve(7);
        },
      }),
    ).toBe(7);
  });

  it('whatever is thrown on the way arrives as a rejection', async () => {
    @Injectable()
    class Thrower {
      @Recorded()
      thrown(): Promise<void> {
        throw new RangeError('thrown by the method');
      }
      @Recorded(recorderToken, () => {
        throw new RangeError('thrown by the service');
      })
      async around(): Promise<void> {
        return Promise.resolve();
      }
    }
    const { module } = await boot([Thrower]);
    await expect(module.get(Thrower).thrown()).rejects.toThrow('thrown by the method');
    await expect(module.get(Thrower).around()).rejects.toThrow('thrown by the service');
  });
});

describe('a method that returns an Observable', () => {
  const source: { current: Observable<number>; subscriptions: number } = { current: EMPTY, subscriptions: 0 };
  const hit: { current: unknown } = { current: undefined };
  const outcomes: unknown[] = [];
  /** What the service waits for before it proceeds, as for a lock. */
  const waiting: { current: Promise<void> | undefined } = { current: undefined };
  /** What stops the method, as the loss of a lock; and how its service hears that the subscriber has left. */
  const until = { current: new AbortController() };
  const left: { current: AbortSignal | undefined } = { current: undefined };

  @Injectable()
  class Prices {
    @Recorded()
    watch(_id: string): Observable<number> {
      source.subscriptions++;
      return source.current;
    }

    @Recorded(recorderToken, async () => Promise.resolve(hit.current))
    cached(): Observable<number> {
      return of(-1);
    }

    @Recorded(recorderToken, async (_recorder, _call, proceed) => {
      if (waiting.current) await waiting.current;
      const outcome = await proceed().catch((error: unknown) => error);
      outcomes.push(outcome);
      return 'ignored, because the values have been streamed';
    })
    observed(): Observable<number> {
      return source.current;
    }

    @Recorded(recorderToken, async (_recorder, { signal }, proceed) => {
      left.current = signal;
      await proceed(until.current.signal);
      return undefined;
    })
    bounded(): Observable<number> {
      source.subscriptions++;
      return source.current;
    }

    @Recorded()
    subject(): Subject<number> {
      return new Subject();
    }

    @Recorded()
    lying(): Observable<number> {
      return 7 as never;
    }
  }
  const prices = async () => {
    const { module, recorder } = await boot([Prices]);
    return { prices: module.get(Prices), recorder };
  };
  beforeEach(() => {
    source.current = of(1, 2, 3);
    source.subscriptions = 0;
    outcomes.length = 0;
    waiting.current = undefined;
    until.current = new AbortController();
    left.current = undefined;
  });

  it('does nothing until it is subscribed to, then everything for each subscriber', async () => {
    const { prices: service, recorder } = await prices();
    const watched = service.watch('x');
    expect([watched instanceof Observable, recorder.events.length, source.subscriptions]).toEqual([true, 0, 0]);
    expect(await lastValueFrom(watched.pipe(toArray()))).toEqual([1, 2, 3]);
    expect(await lastValueFrom(watched.pipe(toArray()))).toEqual([1, 2, 3]);
    expect(recorder.events).toEqual(['>Prices.watch(x)', '<watch', '>Prices.watch(x)', '<watch']);
    expect(source.subscriptions).toBe(2);
  });

  it('streams values as they come and ends when the service does', async () => {
    const { prices: service, recorder } = await prices();
    const subject = new Subject<number>();
    source.current = subject;
    const seen: unknown[] = [];
    service.watch('x').subscribe({ next: (value) => seen.push(value), complete: () => seen.push('end') });
    await new Promise(setImmediate);
    subject.next(1);
    expect(seen).toEqual([1]);
    expect(recorder.events).toEqual(['>Prices.watch(x)']);
    subject.complete();
    expect(seen).toEqual([1]);
    await new Promise(setImmediate);
    expect(seen).toEqual([1, 'end']);
  });

  it('tells the service the last value, and passes an error on', async () => {
    const { prices: service } = await prices();
    expect(await lastValueFrom(service.observed().pipe(toArray()))).toEqual([1, 2, 3]);
    source.current = EMPTY;
    expect(await lastValueFrom(service.observed().pipe(toArray()))).toEqual([]);
    expect(outcomes).toEqual([3, undefined]);
    source.current = concat(
      of(1),
      throwError(() => new RangeError('from the source')),
    );
    await expect(lastValueFrom(service.watch('x'))).rejects.toThrow(new RangeError('from the source'));
  });

  it('emits the one value of a service that did not need the source', async () => {
    const { prices: service } = await prices();
    hit.current = 42;
    expect(await lastValueFrom(service.cached().pipe(toArray()))).toEqual([42]);
    hit.current = null;
    expect(await lastValueFrom(service.cached().pipe(toArray()))).toEqual([null]);
    hit.current = undefined;
    expect(await lastValueFrom(service.cached().pipe(toArray()))).toEqual([]);
  });

  it('whose subscriber leaves cancels the source and lets the service finish', async () => {
    const { prices: service } = await prices();
    let cancelled = false;
    source.current = new Observable(() => () => {
      cancelled = true;
    });
    const subscription = service.observed().subscribe();
    await new Promise(setImmediate);
    subscription.unsubscribe();
    expect(cancelled).toBe(true);
    await new Promise(setImmediate);
    expect(outcomes).toEqual([expect.any(MethodCancelledError)]);
  });

  it('whose subscriber leaves before the service proceeds never subscribes to the source', async () => {
    const { prices: service } = await prices();
    let subscribed = false;
    source.current = new Observable(() => {
      subscribed = true;
    });
    let proceed = () => {};
    waiting.current = new Promise((resolve) => (proceed = resolve));
    service.observed().subscribe().unsubscribe();
    proceed();
    await new Promise(setImmediate);
    expect(subscribed).toBe(false);
    expect(outcomes).toEqual([expect.any(MethodCancelledError)]);
  });

  it('whose subscriber leaves tells the service, and one that hears it out does not', async () => {
    const { prices: service } = await prices();
    await lastValueFrom(service.bounded());
    expect(left.current?.aborted).toBe(false);
    expect(getEventListeners(until.current.signal, 'abort')).toEqual([]); // It may outlive many calls.
    source.current = throwError(() => new RangeError('from the source'));
    await expect(lastValueFrom(service.bounded())).rejects.toThrow(RangeError);
    expect(left.current?.aborted).toBe(false);
    source.current = NEVER;
    const subscription = service.bounded().subscribe();
    expect(left.current?.aborted).toBe(false);
    subscription.unsubscribe();
    expect(left.current?.reason).toBeInstanceOf(MethodCancelledError);
  });

  it.each([
    ['while it waits', () => concat(of(1), NEVER)],
    [
      'in the middle of a synchronous one',
      () =>
        new Observable<number>((subscriber) => {
          for (let i = 1; i < 1_000 && !subscriber.closed; i++) {
            if (i === 2) until.current.abort(new RangeError('stopped'));
            subscriber.next(i);
          }
        }),
    ],
  ])('whose service stops it ends with the reason, and its source is cancelled: %s', async (_when, make) => {
    const { prices: service } = await prices();
    let cancelled = 0;
    source.current = make().pipe(finalize(() => cancelled++));
    const told: unknown[] = [];
    service.bounded().subscribe({ next: (value) => told.push(value), error: (error) => told.push(error) });
    await new Promise(setImmediate);
    until.current.abort(new RangeError('stopped'));
    expect(cancelled).toBe(1);
    await new Promise(setImmediate);
    expect(told).toEqual([1, new RangeError('stopped')]);
  });

  it('that is stopped before it begins is never subscribed to', async () => {
    const { prices: service } = await prices();
    until.current.abort(new RangeError('stopped'));
    await expect(lastValueFrom(service.bounded())).rejects.toThrow(new RangeError('stopped'));
    expect(source.subscriptions).toBe(0);
    expect(left.current?.aborted).toBe(false);
  });

  it('can be taken from a source that never ends, even a synchronous one', async () => {
    const { prices: service } = await prices();
    source.current = concat(of(1), NEVER);
    expect(await firstValueFrom(service.observed())).toBe(1);
    source.current = new Observable((subscriber) => {
      for (let i = 0; !subscriber.closed; i++) subscriber.next(i);
    });
    expect(await lastValueFrom(service.observed().pipe(take(3), toArray()))).toEqual([0, 1, 2]);
    await new Promise(setImmediate);
    expect(outcomes).toEqual([expect.any(MethodCancelledError), expect.any(MethodCancelledError)]);
  });

  it('may declare a subclass', async () => {
    const { prices: service } = await prices();
    expect(service.subject()).toBeInstanceOf(Observable);
  });

  it('fails through the Observable when it is unbound or returns something else', async () => {
    await expect(lastValueFrom(new Prices().watch('x'))).rejects.toThrow(UnboundMethodError);
    const { prices: service } = await prices();
    await expect(lastValueFrom(service.lying())).rejects.toThrow(
      'Prices.lying is declared to return an Observable, as @Recorded saw, but returned 7.',
    );
  });
});
