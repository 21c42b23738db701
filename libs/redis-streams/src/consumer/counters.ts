/** What has happened to the entries of one consumer since it started. */
export interface ConsumerCounters {
  /** Handled and acknowledged. */
  handled: number;
  /** Handled before, as the inbox knew: acknowledged unseen. */
  duplicates: number;
  /** A run of a handler that failed; the message comes again. */
  failed: number;
  /** Moved to the dead letters. */
  deadLettered: number;
  /** Of a type that the group does not handle: acknowledged unseen. */
  unhandled: number;
  /** Taken over by another consumer while they were being worked on. */
  lost: number;
  /** Trimmed or deleted before anybody of the group had handled them. */
  trimmed: number;
  /** Dead letters that had to go for newer ones: there are more than `deadLetters.maxLen`. */
  dropped: number;
  /** Taken over from a consumer that died, or after a failure. */
  claimed: number;
}

export function newCounters(): ConsumerCounters {
  return {
    handled: 0,
    duplicates: 0,
    failed: 0,
    deadLettered: 0,
    unhandled: 0,
    lost: 0,
    trimmed: 0,
    dropped: 0,
    claimed: 0,
  };
}
