/** For how long a fencing counter is remembered without a new grant. Beyond that the server's clock alone keeps tokens rising. */
export const fenceLifetimeMs = 86_400_000;

/**
 * Lua functions shared by the scripts that give a lock away. They expect KEYS holder, fence, queue, waiters, and these locals
 * above them: `claimMs`, `wake` (the prefix of the wake-up channels) and `publish` (`PUBLISH`, or `SPUBLISH` on Cluster).
 *
 * `mint(least)`: the next fencing token, max(stored + 1, server time in us, least). So it rises even when the counter is lost.
 *
 * `handOff(caller)`: gives the free lock to the first waiter that can hear of it, and returns that waiter. Whoever has not shown up within its
 * queue lease is dropped. A waiter whose process is not listening at this moment (PUBLISH reaches nobody) keeps its place and is passed over,
 * so a killed process delays nobody. Stops at `caller`, which hears of it by the reply: takes it out of the queue and returns nil.
 */
export const handOffLua = `
    local time = redis.call('TIME')
    local us = time[1] * 1000000 + time[2]
    local ms = math.floor(us / 1000)

    local function text(number) return string.format('%.0f', number) end

    local function mint(least)
      local fence = math.max(us, least)
      local last = redis.call('SET', KEYS[2], text(fence), 'PX', ${fenceLifetimeMs}, 'GET')
      last = tonumber(last or 0) or 0
      if last >= fence then
        fence = last + 1
        redis.call('SET', KEYS[2], text(fence), 'PX', ${fenceLifetimeMs})
      end
      return fence
    end

    local function leave(owner)
      redis.call('LREM', KEYS[3], 1, owner)
      redis.call('ZREM', KEYS[4], owner)
    end

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
          fence = fence or mint(0)
          local message = owner .. ' ' .. text(fence) .. ' ' .. text(ms) .. ' ' .. claimMs .. ' ' .. KEYS[1]
          -- A refusal (no permission for channels) counts as not heard: waiters then look by themselves.
          local heard = redis.pcall(publish, wake .. string.match(owner, '^[^|]*', 23), message)
          if type(heard) == 'number' and heard > 0 then
            leave(owner)
            redis.call('SET', KEYS[1], owner, 'PX', claimMs)
            return owner
          end
          place = place + 1
        end
      end
    end`;
