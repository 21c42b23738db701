/**
 * A Nest application on Fastify with one route that nobody caches, and the same answer from the near tier: by an interceptor around the route, and by `@Cacheable` on
 * the service behind it. It tells its parent the port, and then its processor time whenever it is asked, until its parent hangs up.
 */
import 'reflect-metadata';
import { Controller, Get, UseInterceptors } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Cacheable, CacheService, RedisCacheModule } from '@redstart/redis-cache';
import { RedisModule } from '@redstart/redis-core';
import { from, lastValueFrom } from 'rxjs';
import { flight } from './caches.mjs';

const [url] = process.argv.slice(2);
const answer = flight(1);

class Flights {
  async find() {
    return answer;
  }
}
decorate(Flights, 'find', Cacheable({ key: 'by-decorator', ttl: '1h' }));

/** What one writes around a route: the answer from the cache, or of the handler. */
class CacheInterceptor {
  #cache;

  constructor(cache) {
    this.#cache = cache;
  }

  intercept(context, next) {
    const { url: path } = context.switchToHttp().getRequest();
    return from(this.#cache.getOrSet(['http', path], () => lastValueFrom(next.handle()), { ttl: '1h' }));
  }
}
Reflect.defineMetadata('design:paramtypes', [CacheService], CacheInterceptor);

class Routes {
  #flights;

  constructor(flights) {
    this.#flights = flights;
  }

  bare() {
    return answer;
  }

  intercepted() {
    return answer;
  }

  service() {
    return this.#flights.find();
  }
}
Reflect.defineMetadata('design:paramtypes', [Flights], Routes);
decorate(Routes, 'bare', Get('bare'));
decorate(Routes, 'intercepted', Get('intercepted'), UseInterceptors(CacheInterceptor));
decorate(Routes, 'service', Get('service'));
Controller()(Routes);

class App {}
const app = await NestFactory.create(
  {
    module: App,
    imports: [RedisModule.forRoot({ namespace: 'bench-http', url }), RedisCacheModule.forRoot()],
    controllers: [Routes],
    providers: [Flights, CacheInterceptor],
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
function decorate(owner, method, ...decorators) {
  const descriptor = Object.getOwnPropertyDescriptor(owner.prototype, method);
  for (const decorator of decorators.reverse()) decorator(owner.prototype, method, descriptor);
  Object.defineProperty(owner.prototype, method, descriptor);
}
