/** How an error of ours answers an HTTP request; see {@link RedstartExceptionFilter}. */
export interface ErrorResponse {
  /** The HTTP status code. */
  readonly status: number;
  /** A URI that names the kind of problem: `type` of the problem body. @default 'about:blank' */
  readonly type?: string;
  /** The short, stable summary: `title` of the problem body. */
  readonly title: string;
  /**
   * What the client can do: `detail` of the problem body. The message of an error speaks to developers, and may name hosts, keys and options; a client is
   * told this sentence instead, or none.
   */
  readonly detail?: string;
  /** When to try again, in milliseconds: becomes `Retry-After`, rounded up to whole seconds and at least 1. */
  readonly retryAfterMs?: number;
  /** Further headers, e.g. the `RateLimit` fields. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the problem body, e.g. `violated-policies`. They never replace the standard ones. */
  readonly extensions?: Readonly<Record<string, unknown>>;
}

/** What a client is told when a part of ours is down or overloaded: which one is none of its business. */
const unavailable: ErrorResponse = {
  status: 503,
  title: 'Service Unavailable',
  detail: 'Something that this needs is not available at the moment. Try again.',
  retryAfterMs: 1_000,
};

/**
 * The base of every error that Redstart throws by itself.
 *
 * `code` is stable and safe to branch on; the message tells the developer what happened and the way out, and never holds a password or a value.
 * What others are told is {@link RedstartError.response}.
 */
export abstract class RedstartError extends Error {
  /** Stable, upper-case, e.g. `REDIS_UNAVAILABLE`. */
  abstract readonly code: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }

  /** What an HTTP client is told. An error that a client can't act on keeps the default: a plain 500 without internals. */
  get response(): ErrorResponse {
    return { status: 500, title: 'Internal Server Error' };
  }
}

/** An option, argument or environment value is wrong. Names the option, the value and what is allowed; thrown at boot or at the call. */
export class OptionsError extends RedstartError {
  readonly code = 'INVALID_OPTIONS';

  constructor(
    /** The option or argument, as the user wrote it: `RedisModule.forRoot({ url })`. */
    readonly option: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(`${option}: ${problem}`, options);
  }
}

/** A key can't be used as a Redis key: a lone surrogate, an empty or a wrongly typed part. */
export class InvalidKeyError extends RedstartError {
  readonly code = 'INVALID_KEY';
}

/** A value can't be stored: a function, a cycle, a `__proto__`, too deep or too large. Nothing was written. */
export class UnsupportedValueError extends RedstartError {
  readonly code = 'UNSUPPORTED_VALUE';
}

/** Stored bytes are not what we wrote: truncated, foreign, or larger than allowed once unpacked. */
export class CorruptValueError extends RedstartError {
  readonly code = 'CORRUPT_VALUE';
}

/** What is known of a command that failed: it surely did not happen, or nobody can tell whether the server ran it. */
export type CommandOutcome = 'not-executed' | 'unknown';

/**
 * Redis could not be reached, did not answer within the budget, or refused the work for a reason that passes (loading, read-only, out of memory).
 *
 * With `outcome: 'unknown'` the command may have been carried out all the same: repeat it only if it is idempotent.
 */
export class RedisUnavailableError extends RedstartError {
  readonly code = 'REDIS_UNAVAILABLE';

  constructor(
    message: string,
    readonly outcome: CommandOutcome,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  override get response(): ErrorResponse {
    return unavailable;
  }
}

/** Redis answered with an error that will not pass by itself: a wrong password, a missing permission, a wrong type at the key. */
export class RedisCommandError extends RedstartError {
  readonly code = 'REDIS_COMMAND';

  constructor(
    message: string,
    /** The first word of the server's answer: `WRONGTYPE`, `NOPERM`, `WRONGPASS` … */
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Every connection of a {@link RedisPool} was in use for the whole wait. */
export class PoolExhaustedError extends RedstartError {
  readonly code = 'POOL_EXHAUSTED';

  constructor(
    readonly max: number,
    readonly waitedMs: number,
  ) {
    super(
      `All ${max} connections of the Redis pool were in use for ${waitedMs} ms. Release them sooner, or raise pool.max or pool.acquireTimeout.`,
    );
  }

  override get response(): ErrorResponse {
    return unavailable;
  }
}
