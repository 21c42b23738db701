import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { OptionsError } from '@redstart/redis-core';
import { getRequestLimiterToken } from '../ratelimit.tokens.js';
import { hasOwnLimits, limitsAt } from './declared-limits.js';
import { RequestLimiter } from './request-limiter.js';

/**
 * Lets a request through, or throws: what `@RateLimit` puts on its routes.
 *
 * It runs where Nest runs guards: after global ones and those that stand below it in the text, before interceptors and pipes. Registered
 * more than once, it still counts a request once. On a handler that is none of HTTP it throws: this version limits HTTP only.
 */
@Injectable()
export class RateLimitGuard implements CanActivate {
  readonly #moduleRef: ModuleRef;

  constructor(moduleRef: ModuleRef) {
    this.#moduleRef = moduleRef;
  }

  async canActivate(execution: ExecutionContext): Promise<boolean> {
    const controller = execution.getClass();
    const limits = [...limitsAt(controller), ...limitsAt(execution.getHandler())];
    if (limits.length === 0) return true;
    if (execution.getType() !== 'http') {
      throw new OptionsError(
        `@RateLimit on ${controller.name}.${execution.getHandler().name}`,
        `limits HTTP handlers, and this is one of ${execution.getType()}. Use @LimitCalls, or RateLimitService.`,
      );
    }
    for (const name of new Set(limits.map(({ limiter }) => limiter))) await this.#limiter(name).admit(execution);
    return true;
  }

  #limiter(name: string): RequestLimiter {
    return this.#moduleRef.get<RequestLimiter>(getRequestLimiterToken(name), { strict: false });
  }
}

/** Applies the `global` policies of one module to the HTTP routes that have no limits of their own; those of the others join their own. */
export class GlobalRateLimitGuard implements CanActivate {
  readonly #name: string;
  readonly #limiter: RequestLimiter;

  constructor(name: string, limiter: RequestLimiter) {
    this.#name = name;
    this.#limiter = limiter;
  }

  async canActivate(execution: ExecutionContext): Promise<boolean> {
    if (execution.getType() !== 'http') return true;
    if (hasOwnLimits(execution.getClass(), execution.getHandler(), this.#name)) return true;
    await this.#limiter.admit(execution);
    return true;
  }
}
