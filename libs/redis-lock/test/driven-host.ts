import { Test } from '@nestjs/testing';
import {
  getRedisConnectionToken,
  hashSlot,
  LeaseRenewer,
  ManualClock,
  RedisModule,
  RedisUnavailableError,
  type CallAttempt,
  type RedisCall,
  type RedisClient,
  type RedisConnection,
  type RedisModuleOptions,
} from '@redstart/redis-core';
import { eventually } from '@redstart/redis-testing';
import { LockService, type RedisLockOptions } from '../src/index.js';
import { resolveLockOptions } from '../src/lock.options.js';
import { watch } from './support.js';

/** What a call goes through: `send` sends it and resolves with its answer; `nth` is 1 for the first one of its operation. */
export type Way = <T>(send: () => Promise<T>, nth: number) => Promise<T>;

/**
 * A host whose time stands still until the test moves it, and whose every message the test may hold back: what it sends, what it is answered
 * and what it hears. Redis is real, and so is Redis' time.
 */
export class DrivenHost implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly locks: LockService;
  /** How many calls of an operation have been made. */
  readonly calls = new Map<string, number>();
  /** What becomes of a message of Pub/Sub. */
  hear: (deliver: () => void) => void = (deliver) => {
    deliver();
  };
  /** What has to happen before a channel is subscribed. */
  beforeSubscribe: () => Promise<void> = () => Promise.resolve();
  readonly #ways = new Map<string, Way>();

  private constructor(
    readonly connection: RedisConnection,
    private readonly close: () => Promise<void>,
    options: RedisLockOptions,
  ) {
    Object.defineProperties(connection, {
      clock: { value: this.clock },
      leases: { value: new LeaseRenewer(this.clock, connection.cluster ? hashSlot : () => 0) },
    });
    this.#interceptCalls();
    this.#interceptMessages();
    this.locks = new LockService(connection, resolveLockOptions(options));
  }

  static async start(
    target: Omit<RedisModuleOptions, 'namespace'>,
    options: RedisLockOptions = {},
  ): Promise<DrivenHost> {
    const imports = [RedisModule.forRoot({ namespace: 'shop', ...target })];
    const app = await Test.createTestingModule({ imports }).compile();
    await app.init();
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    // Real time passes in Redis and in budgets only, and neither may matter here.
    const patient: RedisLockOptions = { commandTimeout: '5s', queueLease: '60s', waitTimeout: '5m' };
    return new DrivenHost(connection, () => app.close(), { ...patient, ...options });
  }

  /** From now on, calls of this operation (such as `lock.acquire`) take this way. */
  onCall(operation: string, way: Way): void {
    this.calls.set(operation, 0);
    this.#ways.set(operation, way);
  }

  /** The first `times` calls of the operation are carried out, but their answers get lost. */
  loseReplies(operation: string, times = 1): void {
    this.onCall(operation, async (send, nth) => {
      const answer = await send();
      if (nth <= times) throw new RedisUnavailableError(`${operation}: no answer`, 'unknown');
      return answer;
    });
  }

  /** Lets time pass until the work has settled, which pauses before it asks again. */
  async pass<T>(work: Promise<T>): Promise<T> {
    const state = watch(work);
    await eventually(async () => {
      await this.clock.advanceAsync(500);
      return state.settled;
    });
    return work;
  }

  /** Until so many calls of an operation were made, and whoever made them sleeps. */
  async asleep(operation: string, questions: number, timers = 1): Promise<void> {
    await eventually(() => {
      expect(this.calls.get(operation)).toBe(questions);
      expect(this.clock.pending).toBe(timers);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.locks.onModuleDestroy();
    await this.locks.beforeApplicationShutdown();
    await this.close();
  }

  #interceptCalls(): void {
    const call = this.connection.call.bind(this.connection);
    this.connection.call = <T>(
      what: RedisCall,
      send: (client: RedisClient, attempt: CallAttempt) => Promise<T>,
    ): Promise<T> => {
      const nth = (this.calls.get(what.operation) ?? 0) + 1;
      this.calls.set(what.operation, nth);
      const way = this.#ways.get(what.operation);
      return way === undefined ? call(what, send) : way(() => call(what, send), nth);
    };
  }

  #interceptMessages(): void {
    const { subscriber } = this.connection;
    const subscribe = subscriber.subscribe.bind(subscriber);
    subscriber.subscribe = async (channel, handlers) => {
      await this.beforeSubscribe();
      return subscribe(channel, {
        ...handlers,
        onMessage: (message) => {
          this.hear(() => {
            handlers.onMessage(message);
          });
        },
      });
    };
  }
}
