import {
  BrokenCircuitError,
  circuitBreaker,
  CircuitState,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleWhen,
} from 'cockatiel';
import type { CircuitBreakerPolicy } from 'cockatiel';

export interface BreakerOptions {
  /** Outages in a row that open it. */
  readonly failures: number;
  /** How long it stays open at first, in milliseconds. */
  readonly openForMs: number;
  /** Which errors count as an outage; all others are answers. */
  readonly isOutage: (error: unknown) => boolean;
}

/** How many times longer than `openForMs` an outage may keep the breaker open between two probes. */
const maxOpenFactor = 16;

/**
 * Makes a long outage cost nothing: after a few failures in a row, calls are refused at once instead of each waiting out its budget.
 *
 * - *closed*: calls go through. Until a first failure they bypass the policy, so a healthy breaker adds nothing to a call.
 * - *open*: calls are refused. Entered after `failures` outages in a row.
 * - *half open*: after `openForMs` (doubling, jittered, up to 16 times that) one call goes through as the probe. It closes the
 *   breaker, or opens it again.
 *
 * The policy is cockatiel's; this class keeps it off the path of a healthy call and keeps half-open calls from queueing behind the probe.
 */
export class Breaker {
  #policy: CircuitBreakerPolicy;
  #counted = false;
  /** True from the first outage until a success has reset the policy's count. */
  #suspicious = false;

  constructor(private readonly options: BreakerOptions) {
    this.#policy = this.#createPolicy();
  }

  #createPolicy(): CircuitBreakerPolicy {
    const { options } = this;
    const policy = circuitBreaker(handleWhen(options.isOutage), {
      breaker: new ConsecutiveBreaker(options.failures),
      halfOpenAfter: new ExponentialBackoff({
        initialDelay: options.openForMs,
        maxDelay: options.openForMs * maxOpenFactor,
      }),
    });
    policy.onFailure(() => {
      this.#suspicious = true;
    });
    return policy;
  }

  get state(): 'closed' | 'open' | 'half-open' {
    switch (this.#policy.state) {
      case CircuitState.Closed:
        return 'closed';
      case CircuitState.HalfOpen:
        return 'half-open';
      default:
        return 'open';
    }
  }

  /** Nothing has failed lately: a call may bypass {@link run}, as long as its outage is told by {@link recordOutage}. */
  get healthy(): boolean {
    return !this.#suspicious;
  }

  /** Runs `work` under the policy. When the circuit is open, does what `refused` does instead, without having called it. */
  async run<T>(work: () => Promise<T>, refused: () => Promise<T>): Promise<T> {
    // A half-open policy would let every further caller wait for the probe: they are refused like in the open state.
    if (this.#policy.state === CircuitState.HalfOpen) return refused();
    try {
      const result = await this.#policy.execute(work);
      this.#suspicious = false;
      return result;
    } catch (error) {
      if (error instanceof BrokenCircuitError) return refused();
      throw error;
    }
  }

  /** Redis is back, seen from elsewhere: the connection has become ready. Closes the circuit without waiting for a probe. */
  reset(): void {
    this.#suspicious = false;
    this.#policy = this.#createPolicy();
  }

  /**
   * Counts the outage of a call that bypassed {@link run}. Calls that fail in one tick failed together, of one cause: a connection that
   * breaks with sixty calls in flight is one failure.
   */
  recordOutage(error: unknown): void {
    this.#suspicious = true;
    if (this.#counted) return;
    this.#counted = true;
    setImmediate(() => {
      this.#counted = false;
    });
    this.#policy
      .execute(() => {
        throw error;
      })
      .catch(() => {
        // The policy has counted it; the caller has the error already.
      });
  }
}
