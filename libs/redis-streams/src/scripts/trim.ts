import { defineScript } from '@redstart/redis-core';
import { groupsInLua } from './lua-groups.js';

/** What one call of the trimming came to. */
export interface Trimming {
  /** Entries that were dropped; every group had finished them. */
  readonly trimmed: number;
  /** Whether there is more to drop: a call does a part only, so that it keeps nobody waiting. */
  readonly more: boolean;
  /** The group that keeps entries which retention would drop, and the first one that it has not finished. */
  readonly heldBack: { readonly group: string; readonly floor: string } | undefined;
  /** Entries that `hardMaxLen` dropped although not every group had finished them. */
  readonly lost: number;
}

/**
 * Drops old entries of a stream that every group has finished, and none else, unless `hardMaxLen` is exceeded. A stream without groups keeps everything: nobody has handled it.
 *
 * The work of one call is bounded: about 10,000 entries by age, 5,000 (1 MiB of payloads) by number.
 *
 * KEYS  stream, keeper
 * ARGV  leaseMs (0: the caller is the keeper already), maxAgeMs or -1, maxLen or -1, hardMaxLen or -1
 * Returns  nil another process keeps the stream at present · { trimmed, more, group that holds back or '', its floor, lost }
 */
export const trimScript = defineScript<Trimming | undefined>({
  name: 'streams:trim',
  keys: 2,
  flags: ['allow-oom'],
  lua: `
    ${groupsInLua}
    if ARGV[1] ~= '0' and not redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[1]) then return nil end
    if redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0, '', '', 0} end
    local maxAge, maxLen, hardMaxLen = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
    local trimmed, more = 0, 0

    local slowest
    for _, group in ipairs(groupsOf(KEYS[1])) do
      if not slowest or before(group.floor, slowest.floor) then slowest = group end
    end
    local oldest
    if maxAge >= 0 then
      local time = redis.call('TIME')
      oldest = string.format('%.0f', math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - maxAge)) .. '-0'
    end

    if slowest and oldest then
      local to = before(slowest.floor, oldest) and slowest.floor or oldest
      local count = redis.call('XTRIM', KEYS[1], 'MINID', '~', to, 'LIMIT', 10000)
      if count >= 5000 then
        more = 1
      else
        -- Whole nodes are gone, so what is left to drop is less than one of them.
        count = count + redis.call('XTRIM', KEYS[1], 'MINID', '=', to)
      end
      trimmed = trimmed + count
    end

    local excess = maxLen >= 0 and redis.call('XLEN', KEYS[1]) - maxLen or 0
    if slowest and excess > 0 then
      local start, ask, seen, bytes, done = '-', 1, 0, 0, false
      while not done and seen < math.min(excess, 5000) and bytes < 1048576 do
        local page = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', math.min(ask, excess - seen, 5000 - seen))
        if #page == 0 then done = true end
        for _, entry in ipairs(page) do
          if not before(entry[1], slowest.floor) then done = true break end
          seen = seen + 1
          start = '(' .. entry[1]
          for _, part in ipairs(entry[2]) do bytes = bytes + #part end
        end
        ask = math.max(1, math.floor(262144 * seen / math.max(1, bytes)))
      end
      if seen > 0 then trimmed = trimmed + redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', string.format('%.0f', redis.call('XLEN', KEYS[1]) - seen)) end
      if not done and seen < excess then more = 1 end
    end

    local lost = 0
    if hardMaxLen >= 0 then
      lost = dropTo(KEYS[1], hardMaxLen)
      if redis.call('XLEN', KEYS[1]) > hardMaxLen then more = 1 end
    end

    local group, floor = '', ''
    local first = slowest and more == 0 and redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
    if first and not before(first[1], slowest.floor) then
      local tooMany = maxLen >= 0 and redis.call('XLEN', KEYS[1]) > maxLen
      if tooMany or (oldest and before(first[1], oldest)) then group, floor = slowest.name, slowest.floor end
    end
    return {trimmed, more, group, floor, lost}
  `,
  parse: (reply) => {
    if (!Array.isArray(reply)) return undefined;
    const [trimmed, more, group, floor, lost] = reply as unknown[];
    return {
      trimmed: Number(trimmed),
      more: more === 1,
      heldBack: group === '' ? undefined : { group: String(group), floor: String(floor) },
      lost: Number(lost),
    };
  },
});
