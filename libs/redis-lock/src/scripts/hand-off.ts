import { mintLua, tellLua, timeLua } from './grant.js';
import { queueLua } from './queue.js';

/**
 * Lua functions for what one owner holds at a time, without `mint` and the time, which they expect above them together with what {@link tellLua} expects,
 * and KEYS holder, fence, queue, waiters. The functions of {@link queueLua} come along.
 *
 * `handOff(caller)`: gives the free lock to the first waiter that can hear of it, and returns that waiter. Whoever has not shown up within its
 * queue lease is dropped. A waiter whose process is not listening at this moment keeps its place and is passed over,
 * so a killed process delays nobody. Stops at `caller`, which hears of it by the reply: takes it out of the queue and returns nil.
 */
export const passOnLua = `${tellLua}
    ${queueLua}

    local function handOff(caller)
      local place = 0
      local fence
      while true do
        local owner = redis.call('LINDEX', KEYS[3], place)
        if not owner then return nil end
        if owner == caller then
          leave(owner)
          return nil
        end
        local aliveUntil = tonumber(redis.call('ZSCORE', KEYS[4], owner) or 0)
        if aliveUntil <= ms then
          leave(owner)
        else
          fence = fence or mint(0, KEYS[2])
          if tell(owner, fence) then
            leave(owner)
            redis.call('SET', KEYS[1], owner, 'PX', claimMs)
            return owner
          end
          place = place + 1
        end
      end
    end`;

/** Lua functions shared by the scripts that give away what one owner holds at a time: the time, `mint` and {@link passOnLua}. */
export const handOffLua = `${timeLua}${mintLua}${passOnLua}`;
