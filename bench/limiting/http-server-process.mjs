/**
 * A Nest application on Fastify with one route that nobody limits, one with a guard written by hand, and one with `@RateLimit`. It tells its parent the port, and then its
 * processor time whenever it is asked, until its parent hangs up.
 */
import 'reflect-metadata';
import { Controller, Get, HttpException, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { RedisModule } from '@redstart/redis-core';
import { by, RateLimit, RedisRateLimitModule, slidingWindow } from '@redstart/redis-ratelimit';
import { Redis } from 'ioredis';
import { rawSlidingWindow } from '../limiters/raw.mjs';

const [url] = process.argv.slice(2);
const law = { limit: 1_000_000_000, windowMs: 60_000 };
const consume = await rawSlidingWindow(new Redis(url), law);

/** What one writes by hand: one EVALSHA, a 429, and the same two fields in the answer that ours sends. */
const guardByHand = {
  async canActivate(execution) {
    const http = execution.switchToHttp();
    const { allowed, remaining, retryAfterMs } = await consume(`http:${http.getRequest().headers['x-client']}`);
    const response = http.getResponse();
    response.header('RateLimit-Policy', `"api";q=${law.limit};w=${law.windowMs / 1_000}`);
    response.header('RateLimit', `"api";r=${remaining}`);
    if (allowed) return true;
    response.header('Retry-After', Math.max(1, Math.ceil(retryAfterMs / 1_000)));
    throw new HttpException('Too Many Requests', 429);
  },
};

const answer = { hello: 'world' };
class Routes {
  bare() {
    return answer;
  }

  byHand() {
    return answer;
  }

  limited() {
    return answer;
  }
}
decorate('bare', Get('bare'));
decorate('byHand', Get('by-hand'), UseGuards(guardByHand));
decorate('limited', Get('limited'), RateLimit('api', { key: by.header('x-client') }));
Controller()(Routes);

class App {}
const app = await NestFactory.create(
  {
    module: App,
    imports: [
      RedisModule.forRoot({ namespace: 'bench', url }),
      RedisRateLimitModule.forRoot({ policies: { api: slidingWindow({ limit: law.limit, window: law.windowMs }) } }),
    ],
    controllers: [Routes],
  },
  new FastifyAdapter(),
  { logger: ['error'] },
);
await app.listen(0, '127.0.0.1');

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send({ cpuMicros: user + system });
});
process.once('disconnect', () => process.exit());
process.send({ port: app.getHttpServer().address().port });

/** What a decorator in TypeScript comes to. */
function decorate(method, ...decorators) {
  const descriptor = Object.getOwnPropertyDescriptor(Routes.prototype, method);
  for (const decorator of decorators.reverse()) decorator(Routes.prototype, method, descriptor);
}
