/**
 * The conservative sliding window: time is cut into buckets, N of which cover the window. A call is counted in the bucket of its moment, and
 * admitted when that bucket, the N before it and its own cost stay within the limit. The oldest of those buckets has left the
 * window in part but counts in full, so no window of that length ever holds more than the limit, at whatever moment it starts. The price
 * is that a charge comes back up to one bucket late.
 *
 * A bucket ahead of the clock means that the clock went back, after a failover for example. Time then stands still at the newest bucket until the clock has
 * caught up. When that one is further ahead than a charge counts, it is of a clock that was wrong, and all is forgotten, as after a restart.
 *
 * The expiry is that of the newest bucket, so it is set with the first charge of a bucket and whenever something else changes.
 *
 * State per key: HASH  bucket number -> units taken in it, `blocked` -> until when (us)
 * Parameters: limit, length of a bucket (us), for how many buckets a charge counts (N + 1)
 */
export const slidingWindowLua = `
  load = function(key, now, limit, size, release)
    local fields = redis.pcall('HLEN', key)
    if type(fields) == 'table' then return nil, fields.err end
    -- What counts has a field per bucket, and the block has one: what has more is not ours, and is not read.
    if fields > release + 1 then return nil, foreign end
    local stored = fields > 0 and redis.call('HGETALL', key) or nothing
    local current, newest, used, blocked, gone, taken = math.floor(now / size), -1, 0, nil, {}, {}
    for i = 1, #stored, 2 do
      local at, units = tonumber(stored[i]), tonumber(stored[i + 1])
      if not units or not (units >= 0 and units <= largest and units % 1 == 0) then return nil, foreign end
      if stored[i] == 'blocked' then
        blocked = units
      elseif not at or not (at >= 0 and at <= largest and at % 1 == 0) then
        return nil, foreign
      else
        taken[at] = units
        if at > newest then newest = at end
      end
    end
    if newest > current and newest <= current + release then
      current = newest
      now = newest * size
    end
    for at, units in pairs(taken) do
      if at > current - release and newest <= current then
        used = used + units
      else
        taken[at] = nil
        gone[#gone + 1] = text(at)
      end
    end
    return {
      key = key, limit = limit, size = size, release = release, now = now, current = current, taken = taken, used = used,
      gone = gone, blocked = blocked or 0, had_block = blocked ~= nil, begun = false, took = false, given = false, changed = false,
    }
  end,

  wait = function(state, cost)
    local excess = state.used + cost - state.limit
    if excess <= 0 then return 0 end
    if cost > state.limit then return -1 end
    for at = state.current - state.release + 1, state.current do
      excess = excess - (state.taken[at] or 0)
      if excess <= 0 then return (at + state.release) * state.size - state.now end
    end
  end,

  left = function(state)
    local reset = 0
    for at = state.current, state.current - state.release + 1, -1 do
      if state.taken[at] then
        reset = (at + state.release) * state.size - state.now
        break
      end
    end
    return math.max(0, state.limit - state.used), reset
  end,

  take = function(state, cost)
    if cost == 0 then return state.current end
    local before = state.taken[state.current]
    if not before then state.begun = true end
    state.taken[state.current] = (before or 0) + cost
    state.used = state.used + cost
    state.took = true
    return state.current
  end,

  give = function(state, cost, mark)
    local units = state.taken[mark]
    if not units or cost == 0 then return false end
    local left = math.max(0, units - cost)
    state.taken[mark] = left > 0 and left or nil
    state.used = state.used - units + left
    state.given = mark
    return true
  end,

  clear = function(state)
    for at in pairs(state.taken) do state.gone[#state.gone + 1] = text(at) end
    state.taken, state.used = {}, 0
  end,

  save = function(state, ttl)
    local given = state.given and state.taken[state.given]
    if given then
      redis.call('HSET', state.key, text(state.given), text(given))
    elseif state.given then
      state.gone[#state.gone + 1] = text(state.given)
    end
    if state.had_block and state.blocked == 0 then state.gone[#state.gone + 1] = 'blocked' end
    if #state.gone > 0 then redis.call('HDEL', state.key, unpack(state.gone)) end
    if state.took then redis.call('HSET', state.key, text(state.current), text(state.taken[state.current])) end
    if state.blocked > 0 then redis.call('HSET', state.key, 'blocked', text(state.blocked)) end
    if state.begun or state.given or state.blocked > 0 or #state.gone > 0 then
      redis.call('PEXPIRE', state.key, text(ttl))
    end
  end`;
