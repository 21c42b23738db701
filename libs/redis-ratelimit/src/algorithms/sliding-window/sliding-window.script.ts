/**
 * The conservative sliding window: time is cut into buckets, N of which cover the window. A call is counted in the bucket of its moment, and
 * admitted when that bucket, the N before it and its own cost stay within the limit. The oldest of those buckets has left the
 * window in part but counts in full, so no window of that length ever holds more than the limit, at whatever moment it starts. The price
 * is that a charge comes back up to one bucket late.
 *
 * A bucket ahead of the clock means that the clock went back, after a failover for example. Time then stands still at that bucket until the clock has
 * caught up. What is further ahead than a whole window is of a clock that was wrong, and forgotten, as after a restart.
 *
 * State per key: HASH  bucket number -> units taken in it, `blocked` -> until when (us)
 * Parameters: limit, length of a bucket (us), for how many buckets a charge counts (N + 1)
 */
export const slidingWindowLua = `
  load = function(key, now, limit, size, release)
    local stored = redis.pcall('HGETALL', key)
    if stored.err then return nil, stored.err end
    local current = math.floor(now / size)
    local buckets, newest, blocked = {}, -1, 0
    for i = 1, #stored, 2 do
      local at, taken = tonumber(stored[i]), tonumber(stored[i + 1])
      if stored[i] == 'blocked' then
        blocked = taken or 0
      elseif not at or not taken then
        return nil, foreign
      else
        buckets[#buckets + 1] = { at = at, taken = taken }
        if at > newest and at <= current + release then newest = at end
      end
    end
    if newest > current then
      current = newest
      now = newest * size
    end

    local state = {
      key = key, now = now, limit = limit, size = size, release = release,
      current = current, blocked = blocked, used = 0, live = {}, gone = {},
    }
    for _, bucket in ipairs(buckets) do
      if bucket.at > current - release and bucket.at <= current then
        state.used = state.used + bucket.taken
        state.live[#state.live + 1] = bucket
        if bucket.at == current then state.bucket = bucket end
      else
        state.gone[#state.gone + 1] = text(bucket.at)
      end
    end
    return state
  end,

  wait = function(state, cost)
    if state.used + cost <= state.limit then return 0 end
    if cost > state.limit then return -1 end
    table.sort(state.live, function(a, b) return a.at < b.at end)
    local excess = state.used + cost - state.limit
    for _, bucket in ipairs(state.live) do
      excess = excess - bucket.taken
      if excess <= 0 then return (bucket.at + state.release) * state.size - state.now end
    end
  end,

  left = function(state)
    local newest = state.newest
    if not newest then
      newest = -1
      for _, bucket in ipairs(state.live) do
        if bucket.taken > 0 and bucket.at > newest then newest = bucket.at end
      end
      state.newest = newest
    end
    local reset = newest < 0 and 0 or (newest + state.release) * state.size - state.now
    return math.max(0, state.limit - state.used), reset
  end,

  take = function(state, cost)
    local current = state.bucket
    if not current then
      current = { at = state.current, taken = 0 }
      state.live[#state.live + 1] = current
      state.bucket = current
    end
    current.taken = current.taken + cost
    current.changed = true
    state.used = state.used + cost
    if cost > 0 then state.newest = state.current end
    return state.current
  end,

  give = function(state, cost, mark)
    for _, bucket in ipairs(state.live) do
      if bucket.at == mark then
        local back = math.min(cost, bucket.taken)
        bucket.taken = bucket.taken - back
        bucket.changed = true
        state.used = state.used - back
        state.newest = nil
      end
    end
  end,

  clear = function(state)
    for _, bucket in ipairs(state.live) do
      bucket.taken = 0
      bucket.changed = true
    end
    state.used = 0
    state.newest = nil
  end,

  save = function(state, ttl)
    for _, bucket in ipairs(state.live) do
      if bucket.changed and bucket.taken > 0 then
        redis.call('HSET', state.key, text(bucket.at), text(bucket.taken))
      elseif bucket.changed then
        state.gone[#state.gone + 1] = text(bucket.at)
      end
    end
    if state.blocked > 0 then redis.call('HSET', state.key, 'blocked', text(state.blocked)) end
    if #state.gone > 0 then redis.call('HDEL', state.key, unpack(state.gone)) end
    redis.call('PEXPIRE', state.key, text(ttl))
  end`;
