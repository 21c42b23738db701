import { formatDuration, RedstartError, type ErrorResponse } from '@redstart/redis-core';
import type { LimitDecision, RateLimitDecision } from './decision.js';
import { rateLimitFields } from './requests/rate-limit-fields.js';

/** Kinds of problems that clients of any server may know: https://iana.org/assignments/http-problem-types */
const problemTypes = 'https://iana.org/assignments/http-problem-types';

/** What an answer says beside its problem. */
interface ExceededOptions {
  /** All that was decided for the same call. @default the denial */
  readonly all?: readonly RateLimitDecision[];
  /** Whether the answer carries the `RateLimit` fields of `all`. @default true */
  readonly fields?: boolean;
  /** The headers themselves, in place of those fields. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A call was denied by its rate limit. Thrown by `@RateLimit`, `@LimitCalls` and {@link RateLimitService.check}'s callers; over HTTP a 429, or a 503 when all slots of a concurrency limit are taken. */
export class RateLimitExceededError extends RedstartError {
  readonly code = 'RATE_LIMIT_EXCEEDED';
  /** When the same call would be allowed if nothing else happens; `Infinity`: never, its cost exceeds the limit. */
  readonly retryAfterMs: number;
  readonly #decisions: readonly RateLimitDecision[];
  readonly #headers: Readonly<Record<string, string>>;

  /** @param decision the denial */
  constructor(
    readonly decision: RateLimitDecision,
    { all = [decision], fields = true, headers = fields ? rateLimitFields(all) : {} }: ExceededOptions = {},
  ) {
    super(describe(decision));
    this.retryAfterMs = decision.retryAfterMs;
    this.#decisions = all;
    this.#headers = headers;
  }

  override get response(): ErrorResponse {
    const violated = violatedBy(this.#decisions);
    return {
      ...problemOf(violated),
      detail: adviceOf(this.retryAfterMs),
      retryAfterMs: this.retryAfterMs,
      headers: this.#headers,
      extensions: { 'violated-policies': violated.map(({ name }) => name) },
    };
  }
}

function violatedBy(decisions: readonly RateLimitDecision[]): readonly LimitDecision[] {
  return decisions.filter(({ allowed }) => !allowed).flatMap(({ limits }) => limits.filter(({ allowed }) => !allowed));
}

/** A client that asks too often has to change; one that finds all slots taken has done nothing wrong. */
function problemOf(violated: readonly LimitDecision[]): Pick<ErrorResponse, 'status' | 'type' | 'title'> {
  if (violated.some(({ blocked }) => blocked)) {
    return { status: 429, type: `${problemTypes}#abnormal-usage-detected`, title: 'Too Many Requests' };
  }
  if (violated.length > 0 && violated.every(({ kind }) => kind === 'concurrency')) {
    return { status: 503, type: `${problemTypes}#temporary-reduced-capacity`, title: 'Service Unavailable' };
  }
  return { status: 429, type: `${problemTypes}#quota-exceeded`, title: 'Too Many Requests' };
}

function describe({ policy, limits, retryAfterMs }: RateLimitDecision): string {
  const rules = limits.filter(({ allowed }) => !allowed).map(ruleOf);
  return `Rate limit "${policy}" exceeded: ${rules.join(', ')}. ${adviceOf(retryAfterMs)}`;
}

function ruleOf({ kind, blocked, limit, windowMs }: LimitDecision): string {
  if (blocked) return 'blocked';
  return kind === 'concurrency' ? `${limit} at once` : `${limit} per ${formatDuration(windowMs)}`;
}

/** In whole seconds when it takes longer than one, like `Retry-After`. */
function adviceOf(retryAfterMs: number): string {
  if (retryAfterMs === Infinity) return 'One call costs more than the limit, so waiting does not help.';
  const ms = retryAfterMs < 1_000 ? retryAfterMs : Math.ceil(retryAfterMs / 1_000) * 1_000;
  return `Try again in ${formatDuration(ms)}.`;
}

/** No policy has that name. Thrown at boot for decorators and `global`, at the call for the service. */
export class UnknownPolicyError extends RedstartError {
  readonly code = 'UNKNOWN_RATE_LIMIT_POLICY';

  constructor(
    readonly policy: string,
    known: readonly string[],
    where?: string,
  ) {
    const names = known.length === 0 ? 'There are none' : `Known policies: ${known.join(', ')}`;
    super(
      `${where === undefined ? '' : `${where}: `}no rate limit policy is named ${JSON.stringify(policy)}. ${names}.`,
    );
  }
}

/**
 * A call can't be told apart from others: its key came out empty, e.g. a request without a user where the limit is per user. It is
 * refused, over HTTP with 403, because all such calls would share one count. Nothing was counted.
 */
export class RateLimitKeyMissingError extends RedstartError {
  readonly code = 'RATE_LIMIT_KEY_MISSING';

  constructor(
    readonly policy: string,
    /** What was looked for, e.g. `user`. */
    readonly wanted: string,
  ) {
    super(
      `Rate limit "${policy}" counts by ${wanted}, and this call has none. Identify first (is the guard that does it ` +
        'above this one?), or name a fallback: by.any(by.user(), by.ip()).',
    );
  }

  override get response(): ErrorResponse {
    return { status: 403, title: 'Forbidden', detail: 'The request does not say who is asking.' };
  }
}

/** A slot of a concurrency limit was lost while its call was under way: somebody else may have it. The reason of its signal. */
export class SlotLostError extends RedstartError {
  readonly code = 'RATE_LIMIT_SLOT_LOST';

  constructor(
    readonly policy: string,
    /** `gone`: Redis has forgotten it. `expired`: it could not be renewed in time. */
    readonly reason: 'gone' | 'expired',
  ) {
    super(
      `A slot of rate limit "${policy}" was lost: ` +
        (reason === 'gone' ? 'Redis does not know it any more.' : 'it could not be renewed before its lease lapsed.') +
        ' The limit may be exceeded until the call ends; stop it when its signal aborts.',
    );
  }
}

/** The caller stands on a deny list of the module. Over HTTP a 403. Nothing was counted. */
export class RequestDeniedError extends RedstartError {
  readonly code = 'REQUEST_DENIED';

  constructor() {
    super('The call matches a rule of RedisRateLimitModule.forRoot({ deny }).');
  }

  override get response(): ErrorResponse {
    return { status: 403, title: 'Forbidden', detail: 'Requests like this one are not accepted.' };
  }
}

/**
 * What a key or cost function of a decorator made of a call can't be counted: half a character or an object as a key, a negative or fractional
 * cost. Clients write what those functions read, so over HTTP it is a 400. Nothing was counted.
 */
export class RateLimitInputError extends RedstartError {
  readonly code = 'RATE_LIMIT_INPUT';

  constructor(
    readonly policy: string,
    readonly part: 'key' | 'cost',
    cause: Error,
  ) {
    super(`Rate limit "${policy}": the ${part} of this call can't be used. ${cause.message}`, { cause });
  }

  override get response(): ErrorResponse {
    return { status: 400, title: 'Bad Request', detail: 'The request holds a value that it can not be counted by.' };
  }
}
