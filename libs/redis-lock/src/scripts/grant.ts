/** For how long a fencing counter is remembered without a new grant. Beyond that the server's clock alone keeps tokens rising. */
export const fenceLifetimeMs = 86_400_000;

/**
 * Lua: the server's time, read once for the whole script. `us` and `ms` are numbers, `now` is `us` as text; `text` writes such a number without an exponent,
 * which takes as long as two commands.
 */
export const timeLua = `
    local time = redis.call('TIME')
    local now = time[1] .. string.sub('00000' .. time[2], -6)
    local us = tonumber(now)
    local ms = math.floor(us / 1000)

    local function text(number) return string.format('%.0f', number) end`;

/**
 * Lua: `mint(least, key)`, the next fencing token: max(stored + 1, server time in us, least). So it rises even when the counter is lost. The counter is in
 * `key`, or else in KEYS[2]. Expects {@link timeLua} above it.
 */
export const mintLua = `
    local function mint(least, key)
      local fence = math.max(us, least)
      local counter = key or KEYS[2]
      local last = redis.call('SET', counter, fence == us and now or text(fence), 'PX', '${fenceLifetimeMs}', 'GET')
      last = last and tonumber(last) or 0
      if last >= fence then
        fence = last + 1
        redis.call('SET', counter, text(fence), 'PX', '${fenceLifetimeMs}')
      end
      return fence
    end`;

/**
 * Lua: `tell(owner, fence)` tells a waiter that it was given what it waits for, and says whether it has heard. A process that is not listening at this moment
 * (PUBLISH reaches nobody) must not be given anything. Nor is it told: a master that has become a replica repeats messages to listeners that stayed with it, and the
 * present one does not count those. Expects {@link timeLua}, the main key of the lock in KEYS[1], and these locals above it: `claimMs`,
 * `wake` (the prefix of the wake-up channels) and `publish` (`PUBLISH`, or `SPUBLISH` on Cluster).
 */
export const tellLua = `
    local function tell(owner, fence)
      local channel = wake .. string.match(owner, '^[^|]*', 23)
      -- Where that may not be asked (no permission for PUBSUB), the message itself has to tell.
      if redis.pcall('PUBSUB', publish == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB', channel)[2] == 0 then return false end
      local message = owner .. ' ' .. text(fence) .. ' ' .. text(ms) .. ' ' .. claimMs .. ' ' .. KEYS[1]
      -- A refusal (no permission for channels) counts as not heard: waiters then look by themselves.
      local heard = redis.pcall(publish, channel, message)
      return type(heard) == 'number' and heard > 0
    end`;

/** Lua functions shared by all scripts that give something away, each with what it expects. */
export const grantLua = `${timeLua}${mintLua}${tellLua}`;
