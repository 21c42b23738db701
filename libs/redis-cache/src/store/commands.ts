import {
  RedisCommandError,
  RedstartError,
  Warnings,
  type RedisCall,
  type RedisConnection,
  type Script,
  type ScriptArgument,
} from '@redstart/redis-core';
import type { StatsCounter } from '../cache.stats.js';
import type { EntryKeys } from '../keys.js';
import type { WaitBudget } from './budget.js';

/** What hears of a reply, or of a failure. */
export interface Answer<R> {
  resolve(reply: R): void;
  reject(error: unknown): void;
}

/**
 * How the cache talks to Redis, and what it makes of its failures.
 *
 * What a load needs never rejects because of Redis (`ask`, `answered`): it answers `undefined`, counts the failure and warns. What a caller asks for by name (`command`, `counted`)
 * rejects, because only the caller knows what a value that stays costs.
 */
export class Commands {
  readonly #warnings: Warnings;

  constructor(
    readonly connection: RedisConnection,
    private readonly stats: StatsCounter,
  ) {
    this.#warnings = new Warnings('RedisCache', connection.clock);
  }

  /** Sends within what is left of the budget. @returns `undefined` when Redis can't tell */
  ask<T>(budget: WaitBudget, operation: string, send: (call: RedisCall) => Promise<T>): Promise<T | undefined> {
    return this.answered(budget, (leftMs) => send(callOf(operation, leftMs)));
  }

  /** A script of a value that a load needs. @returns `undefined` when Redis can't tell */
  askScript<T>(
    budget: WaitBudget,
    operation: string,
    script: Script<T>,
    { value, lease }: EntryKeys,
    args: readonly ScriptArgument[],
  ): Promise<T | undefined> {
    return this.ask(budget, operation, (call) => this.connection.scripts.run(call, script, [value, lease], args));
  }

  /**
   * Sends within what is left of the budget, and makes one promise of it all.
   *
   * @param then what is made of the answer; without one, of nothing
   */
  answering<R, T>(
    budget: WaitBudget,
    then: (reply: R | undefined) => T | Promise<T>,
    send: (leftMs: number, answer: Answer<R>) => void,
  ): Promise<T> {
    const { leftMs } = budget;
    return new Promise<T>((resolve, reject) => {
      if (leftMs === 0) resolve(then(undefined));
      else send(leftMs, new AwaitedAnswer(this, budget, then, resolve, reject));
    });
  }

  /** As {@link ask}, of something that takes the time that is left. */
  async answered<T>(budget: WaitBudget, send: (leftMs: number) => Promise<T>): Promise<T | undefined> {
    if (budget.leftMs === 0) return undefined;
    const endWait = budget.startWait();
    try {
      return await send(budget.leftMs);
    } catch (error) {
      this.failed(error);
      return undefined;
    } finally {
      endWait();
    }
  }

  /** A script that a caller asks for by name. @throws RedisUnavailableError · RedisCommandError */
  command<T>(
    budget: WaitBudget,
    operation: string,
    script: Script<T>,
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): Promise<T> {
    return this.counted(this.connection.scripts.run(namedCall(operation, budget), script, keys, args));
  }

  /** Counts a failure, and passes it on. */
  async counted<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      this.stats.count('errors');
      throw error;
    });
  }

  /** A failure that nobody is told of but the operator. @throws what is none of Redis' */
  failed(error: unknown): void {
    if (!(error instanceof RedstartError)) throw error;
    this.stats.count('errors');
    const kind = error instanceof RedisCommandError ? error.reason : error.code;
    this.#warnings.warn(kind, `Going on without the cache: ${error.message}`);
  }

  warn(kind: string, message: string): void {
    this.#warnings.warn(kind, message);
  }
}

export function callOf(operation: string, budgetMs: number): RedisCall {
  return { library: 'redis-cache', operation, budgetMs };
}

export function namedCall(operation: string, budget: WaitBudget): RedisCall {
  return callOf(operation, atLeastSent(budget));
}

/** What a caller asks for by name goes out even when the wait for an earlier `set` has used its budget up: Redis may carry it out yet. */
export function atLeastSent({ leftMs }: WaitBudget): number {
  return Math.max(1, leftMs);
}

/** A question to Redis that is under way. An object, because its closures would cost more than the question. */
class AwaitedAnswer<R, T> implements Answer<R> {
  readonly #startedAt: number;

  constructor(
    private readonly commands: Commands,
    private readonly budget: WaitBudget,
    private readonly answerOf: (reply: R | undefined) => T | Promise<T>,
    private readonly tell: (answer: T | Promise<T>) => void,
    private readonly fail: (error: unknown) => void,
  ) {
    this.#startedAt = budget.now;
  }

  resolve(reply: R): void {
    this.#settle(reply);
  }

  reject(failure: unknown): void {
    this.#settle(undefined, failure);
  }

  #settle(reply: R | undefined, failure?: unknown): void {
    this.budget.spentSince(this.#startedAt);
    try {
      if (failure !== undefined) this.commands.failed(failure);
      this.tell(this.answerOf(reply));
    } catch (error) {
      this.fail(error);
    }
  }
}
