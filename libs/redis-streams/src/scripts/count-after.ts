import { defineScript } from '@redstart/redis-core';
import { text } from '../message/envelope.js';

export interface CountedEntries {
  readonly count: number;
  /** Where to go on; empty when everything has been counted. */
  readonly next: string;
  /** The entry up to which is counted, so that a stream which grows meanwhile comes to an end. */
  readonly last: string;
}

/**
 * Counts the entries of a stream after an id, by looking at them: XINFO's `lag` is null after XGROUP SETID or an XDEL, and on Redis 7.0 it is wrong when entries were
 * deleted or trimmed before the group had read them.
 *
 * One call looks at about 5,000 entries or 4 MiB, so that it never holds the server up for long. When the group has been given none of the entries, their number is the
 * stream's length, in one step.
 *
 * KEYS  stream
 * ARGV  after (exclusive), last (inclusive; '' in the first call)
 * Returns  { count, next or '', last }
 */
export const countAfterScript = defineScript<CountedEntries>({
  name: 'streams:count-after',
  keys: 1,
  flags: ['no-writes'],
  lua: `
    local after, last = ARGV[1], ARGV[2]
    if last == '' then
      local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
      if not newest then return {0, '', ''} end
      last = newest[1]
      if not redis.call('XRANGE', KEYS[1], '-', after, 'COUNT', 1)[1] then
        return {redis.call('XLEN', KEYS[1]), '', last}
      end
    end
    local count, bytes, page = 0, 0, 16
    while count < 5000 and bytes < 4194304 do
      local entries = redis.call('XRANGE', KEYS[1], '(' .. after, last, 'COUNT', page)
      count = count + #entries
      if #entries < page then return {count, '', last} end
      after = entries[#entries][1]
      local size = 0
      for _, entry in ipairs(entries) do
        for _, part in ipairs(entry[2] or {}) do size = size + #part end
      end
      bytes = bytes + size
      if size < 65536 then page = math.min(page * 2, 512) else page = math.max(1, math.floor(page / 4)) end
    end
    return {count, after, last}
  `,
  parse: (reply) => {
    const [count, next, last] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return { count: Number(count), next: text(next), last: text(last) };
  },
});
