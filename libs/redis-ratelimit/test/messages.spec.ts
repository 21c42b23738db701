import {
  Controller,
  UseGuards,
  type CanActivate,
  type INestApplication,
  type INestMicroservice,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import {
  ClientProxyFactory,
  EventPattern,
  MessagePattern,
  RpcException,
  Transport,
  type ClientProxy,
  type MicroserviceOptions,
  type TcpContext,
} from '@nestjs/microservices';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import type { Server } from 'node:net';
import { firstValueFrom, of } from 'rxjs';
import { concurrency, createPolicies, currentSlot, RateLimit, RateLimitService, slidingWindow } from '../src/index.js';
import { compileApp } from './test-app.js';

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
const held: unknown[] = [];

/** Answers in the place of the handler, as a cache does, or throws. */
const shortcut: NestInterceptor = {
  intercept(context, next) {
    const data: unknown = context.switchToRpc().getData();
    if (data === 'cached') return of('cached');
    if (data === 'fails') throw new RpcException('on purpose');
    return next.handle();
  },
};

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
    held.push(currentSlot()?.decision.policy);
    throw new Error('on purpose');
  }
}

const tcp: MicroserviceOptions = { transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } };

/** A client of the microservice, which listens on a port that it was free to choose. */
function clientOf(microservice: INestMicroservice): ClientProxy {
  const address = microservice.unwrap<Server>().address();
  if (address === null || typeof address === 'string') throw new Error('It does not listen.');
  return ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port: address.port } });
}

describeOn(standalone)('limited messages', (redis) => {
  let service: INestApplication;
  let client: ClientProxy;
  const remaining = async (policy: string, key: string | string[]) =>
    (await service.get(RateLimitService).peek(policy, key)).remaining;
  const ask = (pattern: string, data: unknown = {}) =>
    firstValueFrom(client.send<unknown>(pattern, data)).catch((error: unknown) => error);

  beforeAll(async () => {
    const testing = await compileApp(
      redis.connection,
      { policies, budget: '5s', deniedKeys: 0 },
      { controllers: [QuotesController] },
    );
    service = testing.createNestApplication();
    // Without the global filters of the application, as Nest does by default: denials are told all the same.
    const microservice = service.connectMicroservice(tcp);
    await service.startAllMicroservices();
    client = clientOf(microservice);
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
    expect(held).toEqual(['reports']);
    await eventually(async () => (await remaining('reports', 'k')) === 1, { within: 20_000 });
  });

  it("gives the slot back with an answer that was not the handler's, of an interceptor of the application", async () => {
    const testing = await compileApp(
      redis.connection,
      { policies, budget: '5s', deniedKeys: 0 },
      { controllers: [QuotesController], providers: [{ provide: APP_INTERCEPTOR, useValue: shortcut }] },
    );
    const app = testing.createNestApplication();
    const microservice = app.connectMicroservice(tcp, { inheritAppConfig: true });
    let other: ClientProxy | undefined;
    try {
      await app.startAllMicroservices();
      const asked = (other = clientOf(microservice));
      for (const data of ['cached', 'fails', 'cached']) {
        const answer = await firstValueFrom(asked.send<unknown>('report', data)).catch((error: unknown) => error);
        if (data === 'fails') expect(answer).toMatchObject({ message: 'on purpose' });
        else expect(answer).toBe('cached');
        // Sooner than after the 10 s that a later guard may take.
        await eventually(async () => (await remaining('reports', 'k')) === 1, { within: 7_000 });
      }
      expect(reports).toEqual([]);
    } finally {
      await other?.close();
      await app.close();
    }
  }, 90_000);

  it('fails the boot for a message that is limited by what no message has', async () => {
    @Controller()
    class Keyless {
      @RateLimit('quotes')
      @MessagePattern('keyless')
      keyless(_data: unknown): void {
        // never called
      }
    }
    const testing = await compileApp(redis.connection, { policies }, { controllers: [Keyless] });
    await expect(testing.init()).rejects.toThrow('@RateLimit on Keyless.keyless: counts messages of a microservice');
    await testing.close();
  });
});
