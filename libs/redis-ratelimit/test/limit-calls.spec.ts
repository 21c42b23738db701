import { Injectable, Module, Scope } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { UnboundMethodError } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import { firstValueFrom, Observable, of } from 'rxjs';
import {
  concurrency,
  currentSlot,
  LimitCalls,
  RateLimitExceededError,
  RateLimitKeyMissingError,
  RateLimitService,
} from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

let ran = 0;

abstract class Base {
  @LimitCalls('api', { key: (airline: string) => ['inherited', airline] })
  async inherited(airline: string) {
    return Promise.resolve(airline);
  }
}

@Injectable()
class QuoteService extends Base {
  @LimitCalls('api', { key: (airline: string) => ['airline', airline], cost: (_: string, seats: number) => seats })
  async quote(airline: string, seats: number) {
    ran++;
    return Promise.resolve(`${airline} ${seats}`);
  }

  @LimitCalls({ limit: 1, window: '1h' }, { key: () => 'stream' })
  stream(): Observable<number> {
    return of(1);
  }

  @LimitCalls(concurrency({ limit: 1 }), { key: () => 'report' })
  async report() {
    await new Promise(setImmediate);
    return currentSlot();
  }

  @LimitCalls('api', { key: () => 'stack' })
  @LimitCalls('search', { key: () => 'stack', cost: 4 })
  async both() {
    ran++;
    return Promise.resolve('both');
  }

  @LimitCalls('search', { key: (id: string) => ['twice', id], cost: 2 })
  @LimitCalls('search', { key: (id: string) => ['twice', id] })
  async twice(id: string) {
    return Promise.resolve(id);
  }

  @LimitCalls('api', { key: (tenant?: string) => tenant })
  async maybe(tenant?: string) {
    return Promise.resolve(tenant);
  }
}

@Injectable({ scope: Scope.REQUEST })
class ScopedService {
  @LimitCalls('api', { key: () => 'scoped' })
  async run() {
    return Promise.resolve('ran');
  }
}

@Module({ providers: [QuoteService, ScopedService], exports: [QuoteService] })
class QuoteModule {}

describeOn(standalone, cluster)('@LimitCalls', (redis) => {
  let app: TestApp;
  let quotes: QuoteService;

  beforeAll(async () => {
    app = await startApp(redis.connection, { budget: '5s' }, { imports: [QuoteModule] });
    quotes = app.get(QuoteService);
  });
  afterAll(() => app.close());

  it('runs the method while the limit admits it, and rejects with the decision after that', async () => {
    ran = 0;
    expect(await quotes.quote('LH', 2)).toBe('LH 2');
    const denied: unknown = await quotes.quote('LH', 2).catch((error: unknown) => error);
    expect(denied).toBeInstanceOf(RateLimitExceededError);
    expect(denied).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', decision: { policy: 'api', remaining: 1 } });
    expect(String(denied)).toMatch(/Rate limit "api" exceeded: 3 per 1m\. Try again in \d+(ms|s|m)\./);
    expect(String(denied)).not.toContain('LH');
    expect(ran).toBe(1);
    expect(await quotes.quote('BA', 3)).toBe('BA 3');
  });

  it('counts inherited methods, and calls of other classes on the same key, together', async () => {
    for (let i = 0; i < 3; i++) await quotes.inherited('LH');
    await expect(quotes.inherited('LH')).rejects.toBeInstanceOf(RateLimitExceededError);
    expect((await app.get(RateLimitService).peek('api', ['inherited', 'LH'])).allowed).toBe(false);
  });

  it('limits request-scoped providers across their instances', async () => {
    const outcomes: PromiseSettledResult<string>[] = [];
    for (let i = 0; i < 4; i++) {
      const scoped = await app.get(ModuleRef).resolve(ScopedService, undefined, { strict: false });
      outcomes.push(...(await Promise.allSettled([scoped.run()])));
    }
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
  });

  it('limits each subscription of an Observable', async () => {
    const stream = quotes.stream();
    expect(await firstValueFrom(stream)).toBe(1);
    await expect(firstValueFrom(stream)).rejects.toBeInstanceOf(RateLimitExceededError);
  });

  it('lets the method find the slot that it holds until it ends', async () => {
    const slot = await quotes.report();
    expect(slot?.decision).toMatchObject({ policy: 'QuoteService.report', allowed: true });
    expect(await slot?.release()).toBe(false);
    expect(currentSlot()).toBeUndefined();
    expect(await quotes.report()).not.toBe(slot);
  });

  it('charges several limits of one method together: all of them, or none', async () => {
    const limiter = app.get(RateLimitService);
    ran = 0;
    expect(await quotes.both()).toBe('both');
    const denied: unknown = await quotes.both().catch((error: unknown) => error);
    expect(denied).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', decision: { policy: 'search' } });
    expect(ran).toBe(1);
    expect((await limiter.peek('api', 'stack')).remaining).toBe(2);
    expect((await limiter.peek('search', 'stack')).remaining).toBe(1);
  });

  it('takes the dearer of two limits of one policy and key, once', async () => {
    expect(await quotes.twice('a')).toBe('a');
    expect((await app.get(RateLimitService).peek('search', ['twice', 'a'])).remaining).toBe(3);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 31 + 1])('refuses a cost of %d as bad input of whoever sent it', async (cost) => {
    const refused: unknown = await quotes.quote('LX', cost).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'RATE_LIMIT_INPUT', part: 'cost', response: { status: 400 } });
    await expect(quotes.quote('\ud800', 1)).rejects.toMatchObject({ code: 'RATE_LIMIT_INPUT', part: 'key' });
    expect((await app.get(RateLimitService).peek('api', ['airline', 'LX'])).remaining).toBe(3);
  });

  it('refuses a call without a key, and an instance that Nest did not build', async () => {
    await expect(quotes.maybe()).rejects.toBeInstanceOf(RateLimitKeyMissingError);
    await expect(new QuoteService().quote('LH', 1)).rejects.toBeInstanceOf(UnboundMethodError);
  });
});
