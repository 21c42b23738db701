import { Controller, Module, UseGuards, type CanActivate, type INestApplication } from '@nestjs/common';
import {
  ClientProxyFactory,
  EventPattern,
  MessagePattern,
  Transport,
  type ClientProxy,
  type MicroserviceOptions,
  type TcpContext,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { RedisModule } from '@redstart/redis-core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { createServer } from 'node:net';
import { firstValueFrom } from 'rxjs';
import {
  concurrency,
  createPolicies,
  RateLimit,
  RateLimitService,
  RedisRateLimitModule,
  slidingWindow,
} from '../src/index.js';
import { silent } from './test-app.js';

const policies = createPolicies({
  quotes: slidingWindow({ limit: 2, window: '1m' }),
  events: slidingWindow({ limit: 2, window: '1m' }),
  reports: concurrency({ limit: 1, lease: '30s' }),
});

interface Quote {
  readonly airline: string;
}

const isQuote = (data: unknown): data is Quote => typeof data === 'object' && data !== null && 'airline' in data;

let heard = 0;
const reports: (() => void)[] = [];

class Passes implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}

@Controller()
class QuotesController {
  @UseGuards(Passes)
  @RateLimit('quotes', { key: ({ data }) => (isQuote(data) ? ['airline', data.airline] : undefined) })
  @MessagePattern('quote')
  quote({ airline }: Quote): string {
    return airline;
  }

  @RateLimit('events', { key: ({ client }) => (client as TcpContext).getPattern() })
  @EventPattern('moved')
  moved(_data: unknown): void {
    heard++;
  }

  @RateLimit('reports', { key: () => 'k' })
  @MessagePattern('report')
  async report(): Promise<string> {
    await new Promise<void>((resolve) => reports.push(resolve));
    throw new Error('on purpose');
  }
}

@Module({ controllers: [QuotesController] })
class QuotesModule {}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describeOn(standalone)('limited messages', (redis) => {
  let service: INestApplication;
  let client: ClientProxy;
  const remaining = async (policy: string, key: string | string[]) =>
    (await service.get(RateLimitService).peek(policy, key)).remaining;
  const ask = (pattern: string, data: unknown = {}) =>
    firstValueFrom(client.send<unknown>(pattern, data)).catch((error: unknown) => error);

  beforeAll(async () => {
    const testing = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'test', ...redis.connection }),
        RedisRateLimitModule.forRoot({ policies, budget: '5s', deniedKeys: 0 }),
        QuotesModule,
      ],
    })
      .setLogger(silent)
      .compile();
    const options = { host: '127.0.0.1', port: await freePort() };
    const tcp: MicroserviceOptions = { transport: Transport.TCP, options };
    service = testing.createNestApplication();
    // Without the global filters of the application, as Nest does by default: denials are told all the same.
    service.connectMicroservice(tcp);
    await service.startAllMicroservices();
    client = ClientProxyFactory.create({ transport: Transport.TCP, options });
  });
  afterAll(async () => {
    await client.close();
    await service.close();
  });
  beforeEach(async () => {
    heard = 0;
    reports.length = 0;
    await redis.flush();
  });

  it('counts messages by what they hold, and tells a denial with the code and the time to wait', async () => {
    expect(await ask('quote', { airline: 'LH' })).toBe('LH');
    expect(await ask('quote', { airline: 'LH' })).toBe('LH');
    const denied = await ask('quote', { airline: 'LH' });
    expect(denied).toMatchObject({
      status: 'error',
      code: 'RATE_LIMIT_EXCEEDED',
      message: expect.stringMatching(/^Try again in/) as unknown,
      'violated-policies': ['quotes'],
    });
    expect(denied).toHaveProperty('retryAfter');
    expect(await ask('quote', { airline: 'BA' })).toBe('BA');
    expect(await remaining('quotes', ['airline', 'LH'])).toBe(0);
  });

  it('refuses messages without the identity, and with one that is no key', async () => {
    expect(await ask('quote', 'LH')).toMatchObject({ code: 'RATE_LIMIT_KEY_MISSING' });
    expect(await ask('quote', { airline: { $gt: '' } })).toMatchObject({ code: 'RATE_LIMIT_INPUT' });
    expect(await ask('quote', { airline: '}{\r\n' })).toBe('}{\r\n');
  });

  it('keeps events from their handler when there are too many', async () => {
    for (let i = 0; i < 4; i++) client.emit('moved', i);
    await eventually(async () => (await remaining('events', 'moved')) === 0, { within: 20_000 });
    await eventually(() => heard === 2, { within: 20_000 });
    // The connection keeps the order: all four have been decided when a later message is answered.
    expect(await ask('quote', { airline: 'LH' })).toBe('LH');
    expect(heard).toBe(2);
  });

  it('holds a slot until the handler ends, also when that fails', async () => {
    const first = ask('report');
    await eventually(() => reports.length === 1, { within: 20_000 });
    expect(await ask('report')).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED' });
    reports[0]?.();
    expect(await first).toMatchObject({ message: 'Internal server error' });
    await eventually(async () => (await remaining('reports', 'k')) === 1, { within: 20_000 });
  });

  it('fails the boot for a message that is limited by what no message has', async () => {
    @Controller()
    class Keyless {
      @RateLimit('quotes')
      @MessagePattern('keyless')
      keyless(_data: unknown): void {
        // never called
      }
    }
    const testing = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'test', ...redis.connection }),
        RedisRateLimitModule.forRoot({ policies }),
      ],
      controllers: [Keyless],
    })
      .setLogger(silent)
      .compile();
    await expect(testing.init()).rejects.toThrow('@RateLimit on Keyless.keyless: counts messages of a microservice');
    await testing.close();
  });
});
