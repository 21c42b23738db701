import type { ExecutionContext } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import { systemClock } from '@redstart/redis-core';
import { RateLimitExceededError, RequestDeniedError } from '../ratelimit.errors.js';
import type { RateLimitDecision } from '../decision.js';
import type { Admission } from '../deciding/admissions.js';
import type { RateLimitService } from '../ratelimit.service.js';
import { answerHeaders } from './answer-headers.js';
import { CallChecks } from './call-checks.js';
import { CallEnd } from './call-end.js';
import { watchHandler } from './call-end.interceptor.js';
import { CallLedgers, type CallCheck, type Counted } from './call-ledger.js';
import { ClientAddresses } from './client-addresses.js';
import type { RateLimitContext, RequestMatch } from './context.js';
import type { DeclaredLimit } from './declared-limits.js';
import { GivenBack, type Refundable } from './given-back.js';
import { PerCall } from './per-call.js';
import { tighter } from './rate-limit-fields.js';
import { ResponseHeaders } from './response-headers.js';
import { RouteLimits } from './route-limits.js';
import { rememberSlot } from './slot.interceptor.js';
import { transportError } from './transport-errors.js';
import { incomingCall, RequestContext, transportOf, type IncomingCall } from './transports/incoming-call.js';

/** The call may go on. */
type Admitted = true | Promise<true>;

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
  readonly #admissions = new PerCall<Admitted>();
  readonly #ledgers = new CallLedgers();
  readonly #routes: RouteLimits;
  readonly #addresses: ClientAddresses;
  readonly #service: RateLimitService;
  readonly #adapterHost: HttpAdapterHost;
  readonly #givenBack: GivenBack;
  readonly #checks: CallChecks;

  constructor(name: string, service: RateLimitService, adapterHost: HttpAdapterHost) {
    this.#service = service;
    this.#adapterHost = adapterHost;
    this.#givenBack = new GivenBack((receipt) => service.refund(receipt));
    this.#checks = new CallChecks(service.options);
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
  admit(execution: ExecutionContext): Admitted {
    // All guards of a call get the same arguments, and no other call does.
    const call = execution.getArgs();
    const known = this.#admissions.get(call);
    if (known !== undefined) return known;
    return this.#admissions.set(call, this.#admit(execution));
  }

  #admit(execution: ExecutionContext): Admitted {
    const call = incomingCall(execution);
    // Over HTTP errors stay as they are.
    return call.type === 'http' ? this.#decide(call, execution) : this.#decideOver(call, execution);
  }

  async #decideOver(call: IncomingCall, execution: ExecutionContext): Promise<true> {
    try {
      return await this.#decide(call, execution);
    } catch (error) {
      throw await transportError(error, call.type);
    }
  }

  #decide(call: IncomingCall, execution: ExecutionContext): Admitted {
    const { deny, allow, skip } = this.#service.options;
    const context = new RequestContext(call, execution, this.#addresses);
    const limits = this.#routes.of(execution.getClass(), execution.getHandler(), call.type);
    if (deny.length === 0 && allow.length === 0 && skip === undefined) return this.#count(limits, call, context);
    return this.#isCounted(limits, context).then((counted) => (counted ? this.#count(limits, call, context) : true));
  }

  async #isCounted(limits: readonly DeclaredLimit[], context: RateLimitContext): Promise<boolean> {
    const { deny, allow, skip } = this.#service.options;
    if (await someMatch(deny, context)) throw new RequestDeniedError();
    return limits.length > 0 && !(await someMatch(allow, context)) && (await skip?.(context)) !== true;
  }

  #count(limits: readonly DeclaredLimit[], call: IncomingCall, context: RateLimitContext): Admitted {
    if (limits.length === 0) return true;
    const checks = this.#checks.of(limits, context);
    return checks instanceof Promise
      ? checks.then((known) => this.#charge(known, call, context))
      : this.#charge(checks, call, context);
  }

  #charge(checks: readonly CallCheck[], call: IncomingCall, { execution }: RateLimitContext): Admitted {
    if (checks.length === 0) return true;
    const ledger = this.#ledgers.of(call.scope);
    const counted = ledger.charge(checks, (due, spentMs) => {
      const { budgetMs } = this.#service.options;
      const admission = this.#service.admit(due, spentMs > 0 ? systemClock.now() + budgetMs - spentMs : undefined);
      return admission instanceof Promise
        ? admission.then((given) => this.#take(given, due, call, execution))
        : this.#take(admission, due, call, execution);
    });
    return counted instanceof Promise ? counted.then((all) => this.#answer(call, all)) : this.#answer(call, counted);
  }

  /** Has what a call holds given back when it ends. */
  #take(
    { decisions, denial, slot }: Admission,
    due: readonly CallCheck[],
    call: IncomingCall,
    execution: ExecutionContext,
  ): Admission['decisions'] {
    if (denial !== undefined) return decisions;
    const refundable = refundableOf(due, decisions);
    if (slot === undefined && refundable.length === 0) return decisions;
    if (slot !== undefined) rememberSlot(execution, slot);
    const end = new CallEnd(call, systemClock);
    watchHandler(execution, end);
    end.onEnd((outcome) => {
      this.#givenBack.settle(outcome, slot, refundable);
    });
    return decisions;
  }

  /** Tells the client: by the headers of the answer, and for a denial by an error. */
  #answer({ response }: IncomingCall, counted: readonly Counted[]): true {
    const access = ResponseHeaders.of(response, this.#adapterHost.httpAdapter);
    const headers = answerHeaders(counted, this.#service.options.answers, access);
    // Set here even for a denial: the filter that answers with an error may be the application's own.
    access.setAll(headers);
    const decisions = counted.map(({ decision }) => decision);
    const [denial, ...others] = decisions.filter(({ allowed }) => !allowed);
    if (denial === undefined) return true;
    throw new RateLimitExceededError(others.reduce(tighter, denial), { all: decisions, headers });
  }
}

function refundableOf(due: readonly CallCheck[], decisions: readonly (RateLimitDecision | undefined)[]): Refundable[] {
  return due.flatMap(({ refundOn }, index) => {
    const receipt = decisions[index]?.receipt;
    return receipt === undefined || refundOn === undefined ? [] : [{ receipt, refundOn }];
  });
}

async function someMatch(rules: readonly RequestMatch[], context: RateLimitContext): Promise<boolean> {
  for (const rule of rules) {
    if (await rule(context)) return true;
  }
  return false;
}
