import type { ExecutionContext } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import { checkInteger, encodeSubject, InvalidKeyError, OptionsError, systemClock } from '@redstart/redis-core';
import {
  RateLimitExceededError,
  RateLimitInputError,
  RateLimitKeyMissingError,
  RequestDeniedError,
} from '../ratelimit.errors.js';
import type { RateLimitDecision } from '../decision.js';
import type { RateLimitService } from '../ratelimit.service.js';
import { anonymousKey } from './anonymous.js';
import { answerHeaders, type HeaderAccess } from './answer-headers.js';
import { isMissing, wantedBy, type MaybeKey } from './by.js';
import { CallEnd } from './call-end.js';
import { watchHandler } from './call-end.interceptor.js';
import { CallLedgers, pairUp, type CallCheck, type Counted } from './call-ledger.js';
import { ClientAddresses } from './client-addresses.js';
import type { RateLimitContext, RequestMatch } from './context.js';
import type { DeclaredLimit } from './declared-limits.js';
import { GivenBack } from './given-back.js';
import { tighter } from './rate-limit-fields.js';
import { RouteLimits } from './route-limits.js';
import { transportError } from './transport-errors.js';
import { incomingCall, RequestContext, transportOf, type IncomingCall } from './transports/incoming-call.js';

const largestCost = 2 ** 31;

/**
 * Limits the calls of handlers in one module.
 *
 * Every guard hands its calls here, however many guards a handler has and in whichever module Nest has built them: the first one has
 * the call decided, and the others get the same answer. The memory of that lives as long as the call.
 *
 * In order: who is denied by the module's `deny` gets no further; who is let through by its `allow` or `skip` is not counted; then all limits of
 * the handler whose own `skip` does not leave them out are decided together.
 */
export class RequestLimiter {
  readonly #admissions = new WeakMap<object, Promise<void>>();
  readonly #ledgers = new CallLedgers();
  readonly #routes: RouteLimits;
  readonly #addresses: ClientAddresses;
  readonly #service: RateLimitService;
  readonly #adapterHost: HttpAdapterHost;
  readonly #givenBack: GivenBack;

  constructor(name: string, service: RateLimitService, adapterHost: HttpAdapterHost) {
    this.#service = service;
    this.#adapterHost = adapterHost;
    this.#givenBack = new GivenBack((receipt) => service.refund(receipt));
    this.#addresses = new ClientAddresses(adapterHost);
    this.#routes = new RouteLimits(
      name,
      service.options.global.map(({ policy, on, key, cost }) => ({
        policy: { name: policy },
        limiter: name,
        key,
        cost,
        on,
        skip: undefined,
        anonymous: undefined,
        refundOn: undefined,
      })),
    );
  }

  /** Whether a call has to be looked at at all. */
  concerns(execution: ExecutionContext): boolean {
    const transport = transportOf(execution);
    if (transport === undefined) return false;
    if (this.#service.options.deny.length > 0) return true;
    return this.#routes.of(execution.getClass(), execution.getHandler(), transport).length > 0;
  }

  /**
   * Counts a call against all limits of its handler, once.
   *
   * @throws RateLimitExceededError · RateLimitKeyMissingError · RateLimitInputError · RequestDeniedError · what {@link RateLimitService.check} throws; each in the form that
   *   the transport shows to its clients
   */
  admit(execution: ExecutionContext): Promise<void> {
    // All guards of a call get the same arguments, and no other call does.
    const call = execution.getArgs();
    const admission = this.#admissions.get(call) ?? this.#admit(execution);
    this.#admissions.set(call, admission);
    return admission;
  }

  async #admit(execution: ExecutionContext): Promise<void> {
    const call = incomingCall(execution);
    try {
      await this.#decide(call, execution);
    } catch (error) {
      throw await transportError(error, call.type);
    }
  }

  async #decide(call: IncomingCall, execution: ExecutionContext): Promise<void> {
    const { deny, allow, skip } = this.#service.options;
    const context = new RequestContext(call, execution, this.#addresses);
    if (await someMatch(deny, context)) throw new RequestDeniedError();
    const limits = this.#routes.of(execution.getClass(), execution.getHandler(), call.type);
    if (limits.length === 0 || (await someMatch(allow, context)) || (await skip?.(context)) === true) return;

    const checks: CallCheck[] = [];
    for (const limit of limits) {
      if ((await limit.skip?.(context)) !== true) checks.push(await this.#checkOf(limit, context));
    }
    if (checks.length === 0) return;
    const ledger = this.#ledgers.of(call.scope);
    const counted = await ledger.charge(checks, (due) => this.#take(due, call, execution));
    this.#answer(call, counted);
  }

  /** Charges a call, and has what it holds given back when it ends. */
  async #take(
    due: readonly CallCheck[],
    call: IncomingCall,
    execution: ExecutionContext,
  ): Promise<readonly RateLimitDecision[]> {
    const { decisions, denial, slot } = await this.#service.admit(due);
    if (denial !== undefined) return decisions;
    const refundable = pairUp(
      due.map((check) => ({ check })),
      decisions,
    ).flatMap(([{ check }, { receipt }]) =>
      receipt === undefined || check.refundOn === undefined ? [] : [{ receipt, refundOn: check.refundOn }],
    );
    if (slot === undefined && refundable.length === 0) return decisions;
    const end = new CallEnd(call, systemClock);
    watchHandler(execution, end);
    end.onEnd((outcome) => {
      this.#givenBack.settle(outcome, slot, refundable);
    });
    return decisions;
  }

  /** Tells the client: by the headers of the answer, and for a denial by an error. */
  #answer({ response }: IncomingCall, counted: readonly Counted[]): void {
    const access = this.#headersOf(response);
    const headers = answerHeaders(counted, this.#service.options.answers, access);
    const decisions = counted.map(({ decision }) => decision);
    const [denial, ...others] = decisions.filter(({ allowed }) => !allowed);
    // Set here even for a denial: the filter that answers with an error may be the application's own.
    for (const [name, value] of Object.entries(headers)) access.set(name, value);
    if (denial === undefined) return;
    throw new RateLimitExceededError(others.reduce(tighter, denial), { all: decisions, headers });
  }

  #headersOf(response: object | undefined): HeaderAccess {
    const { httpAdapter } = this.#adapterHost;
    if (response === undefined || httpAdapter.isHeadersSent(response) === true) {
      return { get: () => undefined, set: () => undefined };
    }
    return {
      get: (name) => httpAdapter.getHeader(response, name) as unknown,
      set: (name, value) => {
        httpAdapter.setHeader(response, name, value);
      },
    };
  }

  async #checkOf(limit: DeclaredLimit, context: RateLimitContext): Promise<CallCheck> {
    const { policy, refundOn } = limit;
    const keyOf = limit.key ?? this.#service.options.key;
    const key = await this.#usable(policy.name, () => keyOf(context));
    const cost = typeof limit.cost === 'function' ? await limit.cost(context) : limit.cost;
    checkCost(policy.name, cost);
    if (!isMissing(key)) return { policy, key, cost, refundOn, context };

    const rule = limit.anonymous ?? this.#service.options.anonymous;
    const anonymous = await anonymousKey(rule, context);
    if (anonymous === undefined) throw new RateLimitKeyMissingError(policy.name, wantedBy(keyOf));
    await this.#usable(policy.name, () => anonymous.key);
    const counted = anonymous.policy === undefined ? policy : { name: anonymous.policy };
    return { policy: counted, key: anonymous.key, cost, refundOn, context };
  }

  /** A key out of what a client sent may be no key: half a character, an object, nothing but an empty list. */
  async #usable(policy: string, keyOf: () => MaybeKey | Promise<MaybeKey>): Promise<MaybeKey> {
    try {
      const key = await keyOf();
      if (!isMissing(key)) encodeSubject(key);
      return key;
    } catch (error) {
      if (error instanceof InvalidKeyError) throw new RateLimitInputError(policy, 'key', error);
      throw error;
    }
  }
}

function checkCost(policy: string, cost: unknown): void {
  try {
    checkInteger(cost, 'cost', 0, largestCost);
  } catch (error) {
    if (error instanceof OptionsError) throw new RateLimitInputError(policy, 'cost', error);
    throw error;
  }
}

async function someMatch(rules: readonly RequestMatch[], context: RateLimitContext): Promise<boolean> {
  for (const rule of rules) {
    if (await rule(context)) return true;
  }
  return false;
}
