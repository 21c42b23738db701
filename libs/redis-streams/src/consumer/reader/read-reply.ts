import { parseEntries, text } from '../../message/envelope.js';
import type { StreamReply } from './read-size.js';

/** Each stream of the reply that had something, with its entries. */
export function streamsOf(reply: unknown): StreamReply[] {
  if (!Array.isArray(reply)) return [];
  return reply.map((stream: unknown) => {
    const [key, entries] = Array.isArray(stream) ? (stream as unknown[]) : [];
    return { key: text(key), entries: parseEntries(entries) };
  });
}

/**
 * Whether a read was refused because of one of its streams, which is gone, has lost its group, or holds something else now: nothing was delivered then, and the connection is as good as before. UNBLOCKED
 * for another reason (the master became a replica) is none of it.
 */
export function isTroubleOfStream(error: unknown): boolean {
  return error instanceof Error && /^(NOGROUP|WRONGTYPE) |^UNBLOCKED the stream key/.test(error.message);
}
