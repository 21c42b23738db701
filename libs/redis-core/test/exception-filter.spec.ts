import { jest } from '@jest/globals';
import { Controller, Get, type INestApplication, Module, Param, Res } from '@nestjs/common';
import { APP_FILTER, HttpAdapterHost } from '@nestjs/core';
import { ExecutionContextHost } from '@nestjs/core/internal';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { EMPTY, lastValueFrom } from 'rxjs';
import { RedstartExceptionFilter } from '../src/http/redstart-exception.filter.js';
import { type ErrorResponse, InvalidKeyError, RedisUnavailableError, RedstartError } from '../src/redis.errors.js';

class RefusedError extends RedstartError {
  readonly code = 'REFUSED';
  constructor(private readonly answer: Partial<ErrorResponse> = {}) {
    super('CANARY: raise the limit of the policy "api".', { cause: new Error('CANARY') });
  }
  override get response(): ErrorResponse {
    return { status: 429, title: 'Too Many Requests', detail: 'Five calls a minute are allowed.', ...this.answer };
  }
}

const errors: Record<string, () => Error> = {
  refused: () =>
    new RefusedError({
      retryAfterMs: 1_001,
      headers: { RateLimit: '"api";r=0;t=2' },
      extensions: { 'violated-policies': ['api'], status: 200, detail: 'replaced' },
    }),
  silent: () => new RefusedError({ detail: undefined as never }),
  soon: () => new RefusedError({ retryAfterMs: 1 }),
  never: () => new RefusedError({ retryAfterMs: Infinity }),
  outage: () =>
    new RedisUnavailableError('CANARY: Redis at 10.0.0.7:6379 did not answer within 250 ms.', 'unknown', {
      cause: new Error('CANARY'),
    }),
  internal: () => new InvalidKeyError('The key CANARY is empty.'),
  foreign: () => new Error('CANARY'),
};

@Controller()
class FailingController {
  @Get('fail/:how')
  fail(@Param('how') how: string): never {
    throw errors[how]?.() ?? new Error('unknown');
  }

  @Get('begun')
  begun(@Res() response: { raw?: BegunResponse } & BegunResponse): never {
    const raw = response.raw ?? response;
    raw.writeHead(200, { 'content-type': 'text/plain' });
    raw.write('partly ');
    throw new RefusedError();
  }
}

interface BegunResponse {
  writeHead(status: number, headers: Record<string, string>): void;
  write(text: string): void;
}

@Module({ controllers: [FailingController], providers: [{ provide: APP_FILTER, useClass: RedstartExceptionFilter }] })
class FailingModule {}

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('on %s', (_name, adapter) => {
  let app: INestApplication;
  let base: string;
  const logger = { log: jest.fn(), warn: jest.fn(), error: jest.fn(), debug: jest.fn() };
  const request = async (path: string) => {
    const response = await fetch(base + path);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  };

  beforeAll(async () => {
    const compiled = await Test.createTestingModule({ imports: [FailingModule] }).compile();
    app = compiled.createNestApplication(adapter());
    app.useLogger(logger);
    await app.listen(0, '127.0.0.1');
    base = await app.getUrl();
  });
  beforeEach(() => {
    jest.clearAllMocks();
  });
  afterAll(() => app.close());

  it('a refusal is a problem with its code, headers and Retry-After', async () => {
    const { status, headers, text } = await request('/fail/refused?token=CANARY#x');
    expect(status).toBe(429);
    expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(headers.get('retry-after')).toBe('2');
    expect(headers.get('ratelimit')).toBe('"api";r=0;t=2');
    expect(JSON.parse(text)).toEqual({
      type: 'about:blank',
      title: 'Too Many Requests',
      status: 429,
      detail: 'Five calls a minute are allowed.',
      code: 'REFUSED',
      instance: '/fail/refused',
      'violated-policies': ['api'],
    });
    expect(logger.error).not.toHaveBeenCalled();
    expect(logger.debug.mock.calls[0]?.[0]).toBe('REFUSED: CANARY: raise the limit of the policy "api".');
  });

  it('the message of an error is for developers: without a detail the client gets none', async () => {
    const { text } = await request('/fail/silent');
    expect(JSON.parse(text)).toEqual({
      type: 'about:blank',
      title: 'Too Many Requests',
      status: 429,
      code: 'REFUSED',
      instance: '/fail/silent',
    });
  });

  it('Retry-After is at least a second, and missing when there is none', async () => {
    expect((await request('/fail/soon')).headers.get('retry-after')).toBe('1');
    expect((await request('/fail/never')).headers.get('retry-after')).toBeNull();
  });

  it('an outage is a 503 that names no host', async () => {
    const { status, headers, text } = await request('/fail/outage');
    expect([status, headers.get('retry-after')]).toEqual([503, '1']);
    expect(JSON.parse(text)).toMatchObject({
      code: 'REDIS_UNAVAILABLE',
      detail: 'Something that this needs is not available at the moment. Try again.',
    });
    expect(text).not.toContain('CANARY');
  });

  it('an internal error tells nothing, and is logged once', async () => {
    const { status, text } = await request('/fail/internal');
    expect(status).toBe(500);
    expect(JSON.parse(text)).toEqual({
      type: 'about:blank',
      title: 'Internal Server Error',
      status: 500,
      instance: '/fail/internal',
    });
    expect(logger.error).toHaveBeenCalledTimes(1);
    expect(logger.error.mock.calls[0]).toEqual([
      'The key CANARY is empty.',
      expect.stringContaining('InvalidKeyError'),
      'RedstartExceptionFilter',
    ]);
  });

  it('the error of someone else is left to Nest', async () => {
    const { status, text } = await request('/fail/foreign');
    expect(status).toBe(500);
    expect(JSON.parse(text)).toEqual({ statusCode: 500, message: 'Internal server error' });
  });

  it('an answer that has begun is ended as it is', async () => {
    expect(await request('/begun')).toMatchObject({ status: 200, text: 'partly ' });
  });
});

describe('in other contexts', () => {
  const filter = new RedstartExceptionFilter(new HttpAdapterHost());
  const host = (type: string, ...args: unknown[]) => {
    const context = new ExecutionContextHost(args);
    context.setType(type);
    return context;
  };

  beforeAll(() => {
    jest.spyOn(console, 'error').mockImplementation(() => undefined);
  });

  it('a microservice gets an Observable that fails with the detail and the code', async () => {
    const result = filter.catch(new RefusedError(), host('rpc'));
    await expect(lastValueFrom(result ?? EMPTY)).rejects.toEqual({
      status: 'error',
      message: 'Five calls a minute are allowed.',
      code: 'REFUSED',
    });
    const internal = filter.catch(new InvalidKeyError('CANARY'), host('rpc'));
    await expect(lastValueFrom(internal ?? EMPTY)).rejects.toEqual({
      status: 'error',
      message: 'Internal server error',
    });
  });

  it('a socket gets the exception event', () => {
    const client = { emit: jest.fn() };
    expect(filter.catch(new RefusedError(), host('ws', client, { seat: 1 }, 'book'))).toBeUndefined();
    expect(client.emit).toHaveBeenCalledWith('exception', {
      status: 'error',
      message: 'Five calls a minute are allowed.',
      code: 'REFUSED',
      cause: { pattern: 'book', data: { seat: 1 } },
    });
    expect(() => filter.catch(new RefusedError(), host('ws', {}, 1, 'book'))).not.toThrow();
  });

  it.each(['graphql', 'redis-stream'])('%s has it thrown on', (type) => {
    const error = new RefusedError();
    expect(() => filter.catch(error, host(type))).toThrow(error);
  });
});
