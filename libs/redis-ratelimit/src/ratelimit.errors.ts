import { formatDuration, RedstartError, type ErrorResponse } from '@redstart/redis-core';
import type { RateLimitDecision } from './decision.js';
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

/** A call was denied by its rate limit. Thrown by `@RateLimit`, `@LimitCalls` and {@link RateLimitService.check}'s callers; over HTTP a 429. */
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
    const violated = this.#decisions.filter(({ allowed }) => !allowed).flatMap(({ limits }) => limits);
    return {
      status: 429,
      type: `${problemTypes}#quota-exceeded`,
      title: 'Too Many Requests',
      detail: adviceOf(this.retryAfterMs),
      retryAfterMs: this.retryAfterMs,
      headers: this.#headers,
      extensions: { 'violated-policies': violated.filter(({ allowed }) => !allowed).map(({ name }) => name) },
    };
  }
}

function describe({ policy, limits, retryAfterMs }: RateLimitDecision): string {
  const broken = limits.filter(({ allowed }) => !allowed);
  const rules = broken.map(({ limit, windowMs }) => `${limit} per ${formatDuration(windowMs)}`).join(', ');
  return `Rate limit "${policy}" exceeded: ${rules}. ${adviceOf(retryAfterMs)}`;
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
