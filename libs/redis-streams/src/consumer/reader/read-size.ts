import type { RawEntry } from '../../message/envelope.js';

/** What one read brought of one stream. */
export interface StreamReply {
  readonly key: string;
  readonly entries: readonly RawEntry[];
}

const largestRead = 200;
/** Of all consumers that share it: the server and the parser work on a reply in one piece. */
const largestReply = 1_000;
const targetBytes = 4 * 1024 * 1024;
/** Before anything has been read. */
const assumedBytes = 64 * 1024;

/**
 * How many entries to ask for, when only their number can be limited: from the moving average of their size, and, since COUNT holds for each stream of a read, of the number
 * of streams that had something lately.
 */
export class ReadSize {
  #averageBytes = assumedBytes;
  #streams = 1;

  /**
   * @param wanted at least 1
   * @param freeBytes how many bytes there is room for
   * @param sharers among how many consumers a reply is divided
   */
  count(wanted: number, freeBytes: number, sharers = 1): number {
    const fitting = Math.floor(Math.min(targetBytes / sharers, freeBytes) / this.#averageBytes);
    return Math.max(1, Math.floor(Math.min(wanted, largestRead, largestReply / sharers, fitting) / this.#streams));
  }

  /** @returns how many entries there are, and how many bytes they take */
  learn(replies: readonly StreamReply[]): { entries: number; bytes: number } {
    let entries = 0;
    let bytes = 0;
    for (const reply of replies) {
      entries += reply.entries.length;
      for (const { fields } of reply.entries) for (const field of fields) bytes += field.length;
    }
    if (entries === 0) return { entries, bytes };
    this.#streams = replies.length;
    const average = bytes / entries;
    // Larger ones count at once, since they cost memory; smaller ones little by little.
    this.#averageBytes = average > this.#averageBytes ? average : this.#averageBytes * 0.75 + average * 0.25;
    return { entries, bytes };
  }
}
