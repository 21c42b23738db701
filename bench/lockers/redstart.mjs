import { NestFactory } from '@nestjs/core';
import { RedisModule } from '@redstart/redis-core';
import { LockService, RedisLockModule } from '@redstart/redis-lock';

/** Our locks as a Nest application gets them, with their defaults: breaker on, telemetry without a listener. */
export async function openRedstart(url) {
  const app = await NestFactory.createApplicationContext(
    {
      module: class App {},
      imports: [RedisModule.forRoot({ namespace: 'bench', url }), RedisLockModule.forRoot({ waitTimeout: '2m' })],
    },
    { logger: ['error'] },
  );
  const locks = app.get(LockService);
  return {
    async acquire(key) {
      const lock = await locks.acquire(key);
      return () => lock.release();
    },
    close: () => app.close(),
  };
}
