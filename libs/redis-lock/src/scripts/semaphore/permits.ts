import { grantLua } from '../grant.js';
import { leaseSetLua } from '../lease-set.js';
import { queueLua } from '../queue.js';

/**
 * Lua functions shared by the scripts of a semaphore. They expect KEYS permits, fence, queue, waiters, limit, the locals of {@link grantLua} above them,
 * and `limit`, the number of permits that there are; the functions of {@link leaseSetLua} and {@link queueLua} come along.
 *
 * Each permit that is out is a member `<number from 1> <owner>` of its own, so how many are out is the size of the set and nothing else. An entry of the
 * queue is `<how many> <owner>`.
 *
 * `holds(owner)`: whether its permits are still out. `enter(owner, count, leaseMs)`: gives it its permits, or these a new lease. `drop(owner, count)`: takes
 * them back, and says whether it had them.
 *
 * `admit(caller)`: gives free permits to those who wait, in their order. Nobody passes one who waits for more than there is; one that can't hear at
 * this moment keeps its place and is passed over. Returns how many permits are left for the entry `caller`, or for whoever comes after the last one.
 */
export const permitsLua = `${grantLua}
    ${queueLua}
    ${leaseSetLua}

    local function members(owner, count)
      local list = {}
      for number = 1, count do list[number] = number .. ' ' .. owner end
      return list
    end

    local function holds(owner) return tonumber(redis.call('ZSCORE', KEYS[1], '1 ' .. owner) or 0) > ms end

    local function enter(owner, count, leaseMs)
      local scored = {}
      for _, member in ipairs(members(owner, count)) do
        scored[#scored + 1] = text(ms + leaseMs)
        scored[#scored + 1] = member
      end
      redis.call('ZADD', KEYS[1], unpack(scored))
      expire(KEYS[1])
      redis.call('PEXPIRE', KEYS[5], leaseMs, 'GT')
    end

    local function drop(owner, count)
      if redis.call('ZREM', KEYS[1], unpack(members(owner, count))) == 0 then return false end
      expire(KEYS[1])
      return true
    end

    local function admit(caller)
      purge(KEYS[1])
      local place = 0
      local left = limit - redis.call('ZCARD', KEYS[1])
      while left > 0 do
        local entry = redis.call('LINDEX', KEYS[3], place)
        if not entry or entry == caller then return left end
        local aliveUntil = tonumber(redis.call('ZSCORE', KEYS[4], entry) or 0)
        local count, owner = string.match(entry, '^(%d+) (.*)$')
        count = tonumber(count)
        if aliveUntil <= ms or not count then
          leave(entry)
        elseif count > left then
          return 0
        elseif tell(owner, mint(0)) then
          leave(entry)
          enter(owner, count, claimMs)
          left = left - count
        else
          place = place + 1
        end
      end
      return 0
    end`;
