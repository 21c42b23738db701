import { RedstartError } from '../redis.errors.js';

/**
 * A decorated method was called on an instance that Nest did not build, so its decorator has no service to turn to. The method was not run: a
 * lock, a limit or a cache is never silently left out.
 */
export class UnboundMethodError extends RedstartError {
  readonly code = 'UNBOUND_METHOD';

  constructor(
    /** The method, as `FlightService.search`. */
    readonly method: string,
    decorator: string,
    module: string,
  ) {
    super(
      `${method} is decorated with ${decorator}, but this instance was not built by Nest, so it could not be bound to ${module}. ` +
        'Let Nest construct the class (a plain provider or useClass instead of new, useValue or useFactory), or call the service directly.',
    );
  }
}

/** A decorated method returned something else than it has to: a plain value instead of a promise, or an undeclared Observable. */
export class MethodResultError extends RedstartError {
  readonly code = 'METHOD_RESULT';

  constructor(
    /** The method, as `FlightService.search`. */
    readonly method: string,
    problem: string,
  ) {
    super(`${method} ${problem}`);
  }
}

/** The subscriber of a decorated Observable left before its source had completed. What the decorator's service sees as the outcome of the call. */
export class MethodCancelledError extends RedstartError {
  readonly code = 'METHOD_CANCELLED';

  constructor(
    /** The method, as `FlightService.search`. */
    readonly method: string,
  ) {
    super(`${method} was unsubscribed from before it completed.`);
  }
}
