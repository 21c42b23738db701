import type { ExecutionContext } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import { encodeSubject } from '@redstart/redis-core';
import { RateLimitExceededError, RateLimitKeyMissingError } from '../ratelimit.errors.js';
import type { RateLimitService, ReferencedCheck } from '../ratelimit.service.js';
import { isMissing, type RateLimitContext } from './by.js';
import { effectiveLimits, type DeclaredLimit } from './declared-limits.js';
import { rateLimitFields } from './rate-limit-fields.js';
import { requestContext } from './request-context.js';

/**
 * Limits the requests of one module.
 *
 * Every guard hands its requests here, however many guards a route has and in whichever module Nest has built them: the first one has
 * the request decided, and the others get the same answer. The memory of that lives as long as the request.
 */
export class RequestLimiter {
  readonly #admissions = new WeakMap<object, Map<unknown, Promise<void>>>();
  readonly #global: readonly DeclaredLimit[];
  readonly #name: string;
  readonly #service: RateLimitService;
  readonly #adapterHost: HttpAdapterHost;

  constructor(name: string, service: RateLimitService, adapterHost: HttpAdapterHost) {
    this.#name = name;
    this.#service = service;
    this.#adapterHost = adapterHost;
    this.#global = service.options.global.map((policy) => ({
      policy: { name: policy },
      limiter: name,
      key: undefined,
      cost: 1,
    }));
  }

  /**
   * Counts a request against all limits of its route, once.
   *
   * @throws RateLimitExceededError · RateLimitKeyMissingError · what {@link RateLimitService.check} throws
   */
  admit(execution: ExecutionContext): Promise<void> {
    const request: object = execution.switchToHttp().getRequest();
    const handler = execution.getHandler();
    const admissions = this.#admissions.get(request) ?? new Map<unknown, Promise<void>>();
    this.#admissions.set(request, admissions);
    const admission = admissions.get(handler) ?? this.#decide(execution);
    admissions.set(handler, admission);
    return admission;
  }

  async #decide(execution: ExecutionContext): Promise<void> {
    const limits = effectiveLimits(this.#name, this.#global, execution.getClass(), execution.getHandler());
    if (limits.length === 0) return;
    const context = requestContext(execution);
    const checks: ReferencedCheck[] = [];
    for (const limit of limits) checks.push(await this.#checkOf(limit, context));

    const { headers: fields } = this.#service.options;
    const { decisions } = await this.#service.admit(bySubject(checks));
    const denial = decisions.find(({ allowed }) => !allowed);
    if (denial !== undefined) throw new RateLimitExceededError(denial, { all: decisions, fields });
    if (!fields) return;
    const response: unknown = execution.switchToHttp().getResponse();
    for (const [name, value] of Object.entries(rateLimitFields(decisions))) {
      this.#adapterHost.httpAdapter.setHeader(response, name, value);
    }
  }

  async #checkOf(limit: DeclaredLimit, context: RateLimitContext): Promise<ReferencedCheck> {
    const keyOf = limit.key ?? this.#service.options.key;
    const key = await keyOf(context);
    if (isMissing(key)) throw new RateLimitKeyMissingError(limit.policy.name, keyOf.wanted ?? 'a key of its own');
    const cost = typeof limit.cost === 'function' ? await limit.cost(context) : limit.cost;
    return { policy: limit.policy, key, cost };
  }
}

/** Brings checks of one subject together, so that one script decides them, and each policy of a subject down to one: the dearest. */
function bySubject(checks: readonly ReferencedCheck[]): ReferencedCheck[] {
  const subjects = new Map<string, Map<string, ReferencedCheck>>();
  for (const check of checks) {
    const id = encodeSubject(check.key);
    const policies = subjects.get(id) ?? new Map<string, ReferencedCheck>();
    subjects.set(id, policies);
    const { name } = check.policy;
    const other = policies.get(name);
    if (other === undefined || other.cost < check.cost) policies.set(name, check);
  }
  return [...subjects.values()].flatMap((policies) => [...policies.values()]);
}
