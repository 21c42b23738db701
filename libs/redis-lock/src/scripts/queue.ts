/**
 * Lua functions for a queue, first come first served, with a sign of life of each that waits in it. They expect it in KEYS[3] (LIST of entries) and
 * KEYS[4] (ZSET entry -> alive until), and `ms` and `text` above them.
 *
 * `enqueue(entry, leaseMs)`: puts it last, or keeps its place, alive from now on for `leaseMs`. Returns 1 when it is the first in the queue, else 0.
 *
 * `leave(entry)`: takes it out. Returns whether it was in.
 */
export const queueLua = `
    local function enqueue(entry, leaseMs)
      local added = redis.call('ZADD', KEYS[4], text(ms + leaseMs), entry)
      -- The two differ in number only when one of them was evicted.
      local whole = redis.call('LLEN', KEYS[3]) + added == redis.call('ZCARD', KEYS[4])
      if added == 1 or (not whole and not redis.call('LPOS', KEYS[3], entry)) then redis.call('RPUSH', KEYS[3], entry) end
      for key = 3, 4 do
        if redis.call('PTTL', KEYS[key]) < leaseMs * 2 then redis.call('PEXPIRE', KEYS[key], text(leaseMs * 2)) end
      end
      return redis.call('LINDEX', KEYS[3], 0) == entry and 1 or 0
    end

    local function leave(entry)
      return redis.call('LREM', KEYS[3], 1, entry) + redis.call('ZREM', KEYS[4], entry) > 0
    end`;
