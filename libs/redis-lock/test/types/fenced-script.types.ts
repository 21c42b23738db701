import type { RedisConnection } from '@redstart/redis-core';
import { defineFencedScript, type Lock } from '../../src/index.js';

/** Compiled, never run: a call of a fenced script takes the arguments of its `args` and returns what its `parse` does. */
export async function use(connection: RedisConnection, lock: Lock): Promise<void> {
  const save = defineFencedScript({
    name: 'seat:save',
    lua: `return redis.call('APPEND', KEYS[1], ARGV[1])`,
    args: (seat: { row: number }, times: number) => [JSON.stringify(seat), times],
    parse: Number,
  });
  const length: number = await save.run(connection, lock.fencingToken, ['seat:{1}'], { row: 1 }, 2);
  // @ts-expect-error an argument is missing
  await save.run(connection, lock.fencingToken, ['seat:{1}'], { row: 1 });
  // @ts-expect-error a row is a number
  await save.run(connection, lock.fencingToken, ['seat:{1}'], { row: 'A' }, length);
  // @ts-expect-error the token is a number, not the lock
  await save.run(connection, lock, ['seat:{1}'], { row: 1 }, 2);
  // @ts-expect-error what Redis is given is text or a number
  defineFencedScript({ name: 'x', lua: 'return 1', args: (seat: object) => [seat], parse: Number });
}
