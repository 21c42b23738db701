import { handOffLua } from '../hand-off.js';
import { leaseSetLua } from '../lease-set.js';

/**
 * Lua functions shared by the scripts of a read/write lock. They expect KEYS writer, fence, queue (of writers), waiters (of that queue), readers, waiting
 * readers, and the locals of `grantLua` above them; what {@link handOffLua} and {@link leaseSetLua} define comes along.
 *
 * `writerWaits()`: whether a live writer is in the queue. That keeps new readers out.
 *
 * `reads(owner)`: whether it has a read lease. `enter(owner, leaseMs)`: gives it one.
 *
 * `admitReaders()`: lets all waiting readers in that can hear of it, each with a fencing token of its own. The others keep their places, and look by themselves.
 *
 * `admit()`: to be called when somebody has left. A free lock goes to the first writer that can hear of it, else to all waiting readers; one that others
 * still read is also for waiting readers, unless a writer waits.
 */
export const sidesLua = `${handOffLua}
    ${leaseSetLua}

    local function writerWaits() return redis.call('ZCOUNT', KEYS[4], '(' .. text(ms), '+inf') > 0 end

    local function reads(owner) return tonumber(redis.call('ZSCORE', KEYS[5], owner) or 0) > ms end

    local function enter(owner, leaseMs)
      redis.call('ZADD', KEYS[5], text(ms + leaseMs), owner)
      expire(KEYS[5])
    end

    local function admitReaders()
      purge(KEYS[6])
      local first, told = nil, 0
      for _, owner in ipairs(redis.call('ZRANGE', KEYS[6], 0, -1)) do
        first = first or mint(0)
        if tell(owner, first + told) then
          redis.call('ZREM', KEYS[6], owner)
          redis.call('ZADD', KEYS[5], text(ms + claimMs), owner)
          told = told + 1
        end
      end
      if told > 1 then mint(first + told - 1) end
      expire(KEYS[5])
    end

    local function admit()
      purge(KEYS[5])
      if redis.call('EXISTS', KEYS[1]) == 1 then return end
      if redis.call('EXISTS', KEYS[5]) == 1 then
        if not writerWaits() then admitReaders() end
      elseif not handOff() then
        admitReaders()
      end
    end`;
