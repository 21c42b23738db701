import type { INestApplication } from '@nestjs/common';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { LockService } from '@redstart/redis-lock';

/** Leaves what an application asks of Redis the time of a busy machine, until it is disposed of: what becomes of a request when Redis is slow is said elsewhere. */
export function giveTime(app: INestApplication): Disposable {
  const connection = app.get<RedisConnection>(getRedisConnectionToken(), { strict: false });
  const call = connection.call.bind(connection);
  connection.call = (described, ...rest) => call({ ...described, budgetMs: 10_000 }, ...rest);
  const locks = app.get(LockService, { strict: false });
  const withLock = locks.withLock.bind(locks);
  locks.withLock = (key, options, work) => withLock(key, { ...options, ttl: '60s', waitTimeout: '20s' }, work);
  const tryWithLock = locks.tryWithLock.bind(locks);
  locks.tryWithLock = (key, options, work) => tryWithLock(key, { ...options, ttl: '60s' }, work);
  return {
    [Symbol.dispose]: () => {
      Reflect.deleteProperty(connection, 'call');
      for (const method of ['withLock', 'tryWithLock']) Reflect.deleteProperty(locks, method);
    },
  };
}
