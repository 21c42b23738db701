/** No wait is as long: 285 years. */
const horizonUs = 2n ** 53n;

/**
 * What a limit promises, said as simply as possible: which costs fit at which moment. What follows from that is not computed but searched for: the largest
 * cost that fits, the first moment at which one does, the first at which nothing is counted any more.
 *
 * Moments are those of the server's clock, in microseconds. A clock that has gone back is the matter of each kind.
 */
export abstract class LimitModel {
  /** Whether the cost fits at that moment if nothing else happens before. */
  abstract fits(atUs: bigint, cost: bigint, id: string): boolean;
  /** Whether nothing is counted at that moment. */
  abstract isEmpty(atUs: bigint): boolean;
  /** Writes down what counts, as of that moment: what does not is forgotten. */
  abstract keep(atUs: bigint): void;
  /** Counts a cost that fits. */
  abstract admit(atUs: bigint, cost: bigint, id: string): void;

  protected abstract readonly capacity: bigint;

  /** The largest cost that fits. */
  remaining(atUs: bigint): bigint {
    // Cost 0 fits unless more is counted than the limit.
    return smallest(0n, this.capacity, (cost) => !this.fits(atUs, cost + 1n, '')) ?? this.capacity;
  }

  /** How long until the cost fits; `undefined` when it never does. */
  wait(atUs: bigint, cost: bigint, id: string): bigint | undefined {
    return smallest(0n, horizonUs, (later) => this.fits(atUs + later, cost, id));
  }

  /** How long until nothing is counted any more. */
  reset(atUs: bigint): bigint {
    const later = smallest(0n, horizonUs, (wait) => this.isEmpty(atUs + wait));
    if (later === undefined) throw new Error('Something is counted for ever.');
    return later;
  }
}

/** The smallest number from `low` to `high` for which a condition holds that goes on holding; `undefined` when it does for none. */
function smallest(low: bigint, high: bigint, holds: (n: bigint) => boolean): bigint | undefined {
  if (holds(low)) return low;
  if (!holds(high)) return undefined;
  let [no, yes] = [low, high];
  while (yes - no > 1n) {
    const middle = (no + yes) / 2n;
    if (holds(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}

export function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

export function sum(costs: readonly bigint[]): bigint {
  return costs.reduce((total, cost) => total + cost, 0n);
}

/** `a / b`, rounded up; a >= 0. */
export function ceil(a: bigint, b: bigint): bigint {
  return (a + b - 1n) / b;
}
