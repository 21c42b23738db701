import type { ErrorResponse } from '@redstart/redis-core';
import { LockError } from '../lock.errors.js';
import { unavailable } from '../lock.responses.js';

/** How a quorum was missed. */
export interface QuorumShortage {
  /** How many nodes have to agree. */
  readonly needed: number;
  /** Of how many. */
  readonly nodes: number;
  /** Enough of them agreed, but so late that too little of the lease was left. */
  readonly late?: boolean;
  /** What the others had against it, as far as it was waited for: the name of the connection, and the reason with host and port. Never a secret. */
  readonly causes: Readonly<Record<string, string>>;
}

/**
 * Too few of the `nodes` could be reached to decide anything: the outage of a lock over a quorum, as `RedisUnavailableError` is of one on a single
 * master. What a lost call may have left at some node is cleared in the background, or lapses.
 */
export class LockQuorumError extends LockError {
  readonly code = 'LOCK_QUORUM';
  readonly needed: number;
  readonly nodes: number;
  /** Connection name -> reason; see {@link QuorumShortage.causes}. */
  readonly causes: Readonly<Record<string, string>>;

  constructor(
    readonly key: string,
    { needed, nodes, late = false, causes }: QuorumShortage,
  ) {
    const reasons = Object.entries(causes).map(([node, reason]) => `${node}: ${reason}`);
    super(
      [
        `Lock "${key}": no quorum of ${needed} of ${nodes} nodes${late ? ' answered in time' : ''}.`,
        ...reasons,
        late
          ? 'Raise ttl, or look for what stalls this process.'
          : 'Look after the nodes, or raise commandTimeout if they are slow.',
      ].join(' '),
    );
    this.needed = needed;
    this.nodes = nodes;
    this.causes = Object.freeze({ ...causes });
  }

  override get response(): ErrorResponse {
    return unavailable;
  }
}
