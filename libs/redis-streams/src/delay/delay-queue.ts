import type { RedisCall, RedisConnection } from '@redstart/redis-core';
import type { DelayKeys } from '../keys.js';
import { cancelScript } from '../scripts/cancel.js';
import { dueTimeArguments, type DueTime } from '../scripts/due-time.js';
import { rescheduleScript } from '../scripts/reschedule.js';
import { scheduleScript, type Schedule } from '../scripts/schedule.js';

/** Remembers the message ids of delayed messages, as it does those of published ones. */
export interface Deduplication {
  /** The key of the message id. */
  readonly published: string;
  /** How long it is remembered after the message was due. */
  readonly windowMs: number;
}

/**
 * Messages that are to be added to one stream later.
 *
 * A message *waits* from `schedule` (or from a script of somebody else's that writes the same two keys) until it is due by the server's clock; `reschedule` changes that
 * moment. It leaves once: *moved* to the stream by the mover of whichever process looks first, or *cancelled*.
 */
export class DelayQueue {
  readonly keys: DelayKeys;
  readonly #connection: RedisConnection;
  readonly #expect: (inMs: number) => void;

  /** @internal Made by `DelayMover.queue`, which is told of every due time. */
  constructor(connection: RedisConnection, keys: DelayKeys, expect: (inMs: number) => void) {
    this.#connection = connection;
    this.keys = keys;
    this.#expect = expect;
  }

  /**
   * Lets a message wait under an id; one that is waiting already, or was published within the window of `deduplication`, stays as it is. So a call may be repeated.
   *
   * @see  one EVALSHA: TIME, ZSCORE, HSET, ZADD; with deduplication also GET and SET PX
   */
  async schedule(
    call: RedisCall,
    id: string,
    due: DueTime,
    fields: readonly (string | Buffer)[],
    deduplication?: Deduplication,
    by?: 'digest' | 'text',
  ): Promise<Schedule> {
    const keys = this.#keysWith(deduplication);
    const args = [id, ...dueTimeArguments(due), deduplication?.windowMs ?? 0, ...fields];
    const schedule = await this.#connection.scripts.run(call, scheduleScript, keys, args, by);
    if (schedule.waitMs !== undefined) this.#expect(schedule.waitMs);
    return schedule;
  }

  /** @returns whether it was waiting, and does no more. @see one EVALSHA: ZREM, HDEL, and DEL of the message id */
  cancel(call: RedisCall, id: string, deduplication?: Deduplication): Promise<boolean> {
    return this.#connection.scripts.run(call, cancelScript, this.#keysWith(deduplication), [id]);
  }

  /** @returns whether it is waiting; it is due at the new time then. @see one EVALSHA: TIME, ZSCORE, ZADD, and PEXPIRE of the message id */
  async reschedule(call: RedisCall, id: string, due: DueTime, deduplication?: Deduplication): Promise<boolean> {
    const waitMs = await this.#connection.scripts.run(call, rescheduleScript, this.#keysWith(deduplication), [
      ...[id, ...dueTimeArguments(due), deduplication?.windowMs ?? 0],
    ]);
    if (waitMs !== undefined) this.#expect(waitMs);
    return waitMs !== undefined;
  }

  /** To be told by whoever schedules with a script of its own: this process looks at the queue then, and not up to a second later. */
  expect(inMs: number): void {
    this.#expect(inMs);
  }

  #keysWith(deduplication: Deduplication | undefined): string[] {
    const { due, delayed } = this.keys;
    return deduplication === undefined ? [due, delayed] : [due, delayed, deduplication.published];
  }
}
