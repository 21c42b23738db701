import { defineScript } from '@redstart/redis-core';

/**
 * Notes that a member of a group is alive, and tells which ones are. Those that have not been heard of for their lease are forgotten; so are those whose lease ends so late that
 * the clock of Redis must have been set back since: who lives is there again with its next beat.
 *
 * KEYS  members
 * ARGV  member, leaseMs
 * Returns  the members that are alive
 */
export const joinScript = defineScript<string[]>({
  name: 'streams:join',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
    redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + 3 * tonumber(ARGV[2])), '+inf')
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', 2 * tonumber(ARGV[2])))
    return redis.call('ZRANGE', KEYS[1], 0, -1)
  `,
  parse: (reply) => (Array.isArray(reply) ? reply.map(String) : []),
});

/**
 * How a member stands to a partition.
 *
 * - `denied`: somebody else has it · `taken`: it had no owner · `kept`: it was the member's all the time
 * - `strayed`: kept, and something is pending that the owner can't know of: another consumer has been given it by a read that was late, or it has not been renewed for minIdle
 */
export type Tenure = 'denied' | 'taken' | 'kept' | 'strayed';

const tenures: readonly Tenure[] = ['denied', 'taken', 'kept', 'strayed'];

/**
 * Takes or renews the leases of some partitions for a member. What is wrong with one of them leaves the others alone.
 *
 * KEYS  for each partition owner, stream, retry stream
 * ARGV  member, leaseMs, group, consumer, minIdleMs
 * Returns  for each partition 0 somebody else has it (nothing was changed) · 1 taken · 2 renewed · 3 renewed, and something is pending for others, or idle for minIdle · the error that came in between (nothing was changed)
 */
export const ownScript = defineScript<(Tenure | Error)[]>({
  name: 'streams:own',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    local function strayed(stream)
      -- Without its group, or when it is no stream: whoever reads it finds out.
      local pending = redis.pcall('XPENDING', stream, ARGV[3])
      for _, row in ipairs(pending[4] or {}) do
        if row[1] ~= ARGV[4] then return true end
        if redis.call('XPENDING', stream, ARGV[3], 'IDLE', ARGV[5], '-', '+', 1)[1] then return true end
      end
      return false
    end

    local tenures = {}
    for at = 1, #KEYS, 3 do
      local owner = redis.pcall('GET', KEYS[at])
      local tenure = 0
      if type(owner) == 'table' then
        tenure = owner.err
      elseif not owner or owner == ARGV[1] then
        redis.call('SET', KEYS[at], ARGV[1], 'PX', ARGV[2])
        tenure = 1
        if owner then tenure = (strayed(KEYS[at + 1]) or strayed(KEYS[at + 2])) and 3 or 2 end
      end
      tenures[#tenures + 1] = tenure
    end
    return tenures
  `,
  parse: (reply) => (Array.isArray(reply) ? reply.map(tenureOf) : []),
});

function tenureOf(code: unknown): Tenure | Error {
  return typeof code === 'string' ? new Error(code) : (tenures[Number(code)] ?? 'denied');
}

/**
 * Gives the lease of a partition up.
 *
 * KEYS  owner
 * ARGV  member
 * Returns  1 given up · 0 it was not the member's any more
 */
export const disownScript = defineScript<boolean>({
  name: 'streams:disown',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    redis.call('DEL', KEYS[1])
    return 1
  `,
  parse: (reply) => reply === 1,
});
