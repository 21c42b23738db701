/** What a feed tells of, as soon as it knows. */
export interface FeedEvents {
  /** These keys have been written or deleted, by whomever. */
  onChanged(keys: readonly string[]): void;
  /** Anything may have changed: the connection broke, slots have moved, or Redis was emptied. */
  onGap(): void;
  /** Redis does not let this feed work, and asking again would not help. */
  onRefused(reason: string): void;
  /** `trustedUntil` has moved. */
  onTrust(): void;
  /** Trouble that the feed goes on with. */
  onTrouble(error: Error): void;
}

/**
 * Tells a process which keys have changed in Redis.
 *
 * - *off*: before `start`, after `stop`.
 * - *probing*: it listens, and finds out whether it hears what is written.
 * - *coherent*: it hears every change, in order.
 * - *gap*: the connection broke. Goes on to *probing* by itself; what happened meanwhile is not known.
 */
export interface InvalidationFeed {
  /**
   * Until this moment of the process' clock no change that is older than `maxLag` is unheard. It moves on with every sign of life, and passes when
   * there is none. {@link never} in every state but *coherent*.
   */
  readonly trustedUntil: number;
  start(): void;
  stop(): void;
}

export const never = -Infinity;
