/**
 * A Lua function for scripts that act on an entry only while its consumer may: `standing(stream, group, consumer, id)`.
 *
 * - `ours`: pending under this consumer
 * - `gone`: neither pending nor in the stream. It was trimmed or deleted: whoever looks through the pending list drops the record of such an entry then (XAUTOCLAIM and XCLAIM do, however
 *   recently it was renewed), and whoever had it in hand is the only one who still knows of the message
 * - `theirs`: pending under another consumer, or settled
 */
export const standingInLua = `
    local function standing(stream, group, consumer, id)
      local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
      if row then return row[2] == consumer and 'ours' or 'theirs' end
      return redis.call('XRANGE', stream, id, id)[1] and 'theirs' or 'gone'
    end`;

/** What a script that settles an entry says instead of its result. */
export type NotOurs = 'theirs' | 'gone';

/** Of a reply of 0 or -1. */
export function notOurs(reply: unknown): NotOurs | undefined {
  if (reply === 0) return 'theirs';
  return reply === -1 ? 'gone' : undefined;
}
