import { Controller, Get, Injectable, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  concurrency,
  getRateLimitToken,
  LimitCalls,
  provideNoopRateLimit,
  RateLimit,
  RateLimitService,
} from '../src/index.js';

@Injectable()
class Quotes {
  @LimitCalls({ limit: 1, window: '1h' }, { key: (airline: string) => airline })
  async quote(airline: string) {
    return Promise.resolve(airline);
  }
}

@RateLimit('api')
@Controller('quotes')
class QuotesController {
  @RateLimit(concurrency({ limit: 1 }), { key: () => 'k', limiter: 'second' })
  @Get()
  get() {
    return 'quote';
  }
}

describe('provideNoopRateLimit', () => {
  let app: INestApplication;

  beforeAll(async () => {
    const testing = await Test.createTestingModule({
      controllers: [QuotesController],
      providers: [Quotes, ...provideNoopRateLimit(), ...provideNoopRateLimit('second')],
    }).compile();
    app = testing.createNestApplication();
    await app.listen(0, '127.0.0.1');
  });
  afterAll(() => app.close());

  it('lets limited methods and handlers run without Redis, as often as they like', async () => {
    const quotes = app.get(Quotes);
    expect(await Promise.all([quotes.quote('LH'), quotes.quote('LH')])).toEqual(['LH', 'LH']);
    for (let i = 0; i < 2; i++) {
      const answer = await fetch(`${await app.getUrl()}/quotes`);
      expect([answer.status, await answer.text(), answer.headers.get('ratelimit')]).toEqual([200, 'quote', null]);
    }
  });

  it('allows whatever the service is asked', async () => {
    const limiter = app.get(RateLimitService);
    expect(limiter).toBe(app.get(getRateLimitToken()));
    expect(await limiter.consume('api', 'k', { cost: 5 })).toMatchObject({ policy: 'api', allowed: true });
    expect((await limiter.check([{ policy: 'api', key: 'k' }])).every(({ allowed }) => allowed)).toBe(true);
    expect((await limiter.wait('api', 'k')).allowed).toBe(true);
    expect(await limiter.run('api', 'k', (signal) => signal.aborted)).toBe(false);
    await limiter.penalize('api', 'k');
    await limiter.block('api', 'k', '1m');
    await limiter.set('api', 'k', 3);
    expect(await limiter.reset('api', 'k')).toBe(false);
    const slot = await limiter.acquire('exports', 'k', { maxWait: '1s' });
    expect([slot.signal.aborted, await slot.release(), await slot.release()]).toEqual([false, true, false]);
  });

  it('refuses wrong input as ever', async () => {
    const limiter = app.get(RateLimitService);
    await expect(limiter.consume('api', 'k', { cost: -1 })).rejects.toThrow('cost');
    await expect(limiter.consume('a b', 'k')).rejects.toThrow('no name of a policy');
    await expect(limiter.peek('api', '')).rejects.toThrow('empty');
    await expect(limiter.acquire('api', 'k', { maxWait: -1 })).rejects.toThrow('maxWait');
    await expect(limiter.wait('api', 'k', { signal: AbortSignal.abort(new Error('gone')) })).rejects.toThrow('gone');
  });
});
