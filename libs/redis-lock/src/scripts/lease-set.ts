/**
 * Lua functions for leases that several owners hold at a time: KEY is a ZSET owner -> end of its lease (server ms), so no lease has to do with another one. They
 * expect `ms` and `text` above them.
 *
 * `purge(key)`: forgets the leases that are over.
 *
 * `expire(key)`: gives the key the end of its last lease as its expiry, whoever's that is.
 */
export const leaseSetLua = `
    local function purge(key)
      -- After any write, even one that changes nothing, Redis lets the rest of a script pass although it is out of memory.
      if redis.call('ZCOUNT', key, '-inf', text(ms)) > 0 then redis.call('ZREMRANGEBYSCORE', key, '-inf', text(ms)) end
    end

    local function expire(key)
      local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
      if last then redis.call('PEXPIREAT', key, last) end
    end`;
