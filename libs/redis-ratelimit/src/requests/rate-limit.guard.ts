import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { getRequestLimiterToken } from '../ratelimit.tokens.js';
import { RequestLimiter } from './request-limiter.js';
import { RouteLimiters } from './route-limits.js';

/**
 * Lets a call through, or throws: what `@RateLimit` puts on its handlers.
 *
 * It runs where Nest runs guards: after global ones and those that stand below it in the text, before interceptors and pipes. Registered
 * more than once, it still counts a call once. On a handler of a transport that it does not know it throws.
 */
@Injectable()
export class RateLimitGuard implements CanActivate {
  readonly #moduleRef: ModuleRef;
  readonly #limiters = new RouteLimiters();
  /** Looking one up in Nest's container takes as long as half a decision. */
  readonly #found = new Map<string, RequestLimiter>();

  constructor(moduleRef: ModuleRef) {
    this.#moduleRef = moduleRef;
  }

  canActivate(execution: ExecutionContext): boolean | Promise<boolean> {
    const [first, ...others] = this.#limiters.of(execution.getClass(), execution.getHandler());
    if (first === undefined) return true;
    const admitted = this.#limiter(first).admit(execution);
    return others.length === 0 ? admitted : this.#admitByAll(admitted, others, execution);
  }

  async #admitByAll(first: boolean | Promise<boolean>, others: readonly string[], execution: ExecutionContext) {
    await first;
    for (const name of others) await this.#limiter(name).admit(execution);
    return true;
  }

  #limiter(name: string): RequestLimiter {
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    const found = this.#moduleRef.get<RequestLimiter>(getRequestLimiterToken(name), { strict: false });
    this.#found.set(name, found);
    return found;
  }
}

/**
 * Applies the `global` policies and the lists of one module to the handlers that have no limits of their own there; those of the others join their
 * own, to be decided in one go, and after authentication.
 */
export class GlobalRateLimitGuard implements CanActivate {
  readonly #name: string;
  readonly #limiter: RequestLimiter;
  readonly #limiters = new RouteLimiters();

  constructor(name: string, limiter: RequestLimiter) {
    this.#name = name;
    this.#limiter = limiter;
  }

  canActivate(execution: ExecutionContext): boolean | Promise<boolean> {
    if (this.#limiters.of(execution.getClass(), execution.getHandler()).includes(this.#name)) return true;
    if (!this.#limiter.concerns(execution)) return true;
    return this.#limiter.admit(execution);
  }
}
