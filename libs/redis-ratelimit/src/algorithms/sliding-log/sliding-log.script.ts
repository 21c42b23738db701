/**
 * The sliding log: each charge is an entry that stops counting when the window has passed. An entry holds the sum of all costs up to and including its own, so what
 * the window holds is a difference of two entries, and the entry whose end makes room for a cost is found by bisection: nothing is added up.
 *
 * Time stands still while the clock is behind the newest entry. When that one is further ahead than a window, it is of a clock that was wrong, and
 * all is forgotten, as after a restart.
 *
 * State per key: ZSET  `<sum of costs>:<cost>` -> moment of the charge (us), one per moment · `blocked:<until (us)>` -> -1
 * Parameters: limit, window (us)
 */
export const slidingLogLua = `
  load = function(key, now, limit, window)
    local last = redis.pcall('ZRANGE', key, -1, -1, 'WITHSCORES')
    if last.err then return nil, last.err end
    local state = {
      key = key, now = now, limit = limit, window = window,
      blocked = 0, used = 0, base = 0, sum = 0, fresh = 0, newest = -1,
    }
    if not last[1] then return state end
    local first = redis.call('ZRANGE', key, 0, 0)[1]
    local blocked = tonumber(string.match(first, '^blocked:(%d+)$'))
    state.blocked = blocked or 0
    if blocked and last[1] == first then return state end
    local newest, sum, cost = tonumber(last[2]), string.match(last[1], '^(%d+):(%d+)$')
    sum, cost = tonumber(sum), tonumber(cost)
    if not sum or sum > largest or newest < 0 or newest > largest then return nil, foreign end
    if not blocked and not string.match(first, '^%d+:%d+$') then return nil, foreign end
    if newest > now + window then
      state.wrong = true
      return state
    end

    now = math.max(now, newest)
    state.now, state.newest = now, newest
    if newest <= now - window then return state end
    local oldest = redis.call('ZRANGE', key, '(' .. text(now - window), '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
    local before, first_cost = string.match(oldest, '^(%d+):(%d+)$')
    if not before then return nil, foreign end
    state.oldest, state.last, state.sum, state.cost = oldest, last[1], sum, cost
    state.base = before - first_cost
    state.used = sum - state.base
    return state
  end,

  wait = function(state, cost)
    local excess = state.used + cost - state.limit
    if excess <= 0 then return 0 end
    if cost > state.limit then return -1 end
    local wanted = state.base + excess
    if wanted > state.sum then return state.window end
    local low, high = redis.call('ZRANK', state.key, state.oldest), redis.call('ZCARD', state.key) - 1
    while low < high do
      local middle = math.floor((low + high) / 2)
      local sum = string.match(redis.call('ZRANGE', state.key, middle, middle)[1], '^%d+')
      if (tonumber(sum) or 0) >= wanted then high = middle else low = middle + 1 end
    end
    return redis.call('ZRANGE', state.key, low, low, 'WITHSCORES')[2] + state.window - state.now
  end,

  left = function(state)
    local reset = 0
    if state.used > 0 then
      reset = (state.fresh > 0 and state.now or state.newest) + state.window - state.now
    end
    return math.max(0, state.limit - state.used), reset
  end,

  take = function(state, cost)
    state.fresh = state.fresh + cost
    state.used = state.used + cost
    return state.now
  end,

  give = function(state, cost, mark)
    if cost == 0 or mark <= state.now - state.window then return false end
    -- All later entries hold the sum as well.
    local entries = redis.call('ZRANGE', state.key, text(mark), '+inf', 'BYSCORE', 'WITHSCORES')
    if tonumber(entries[2]) ~= mark then return false end
    local back
    for i = 1, #entries, 2 do
      local sum, own = string.match(entries[i], '^(%d+):(%d+)$')
      if not back then
        back = math.min(cost, tonumber(own))
        own = own - back
      end
      redis.call('ZREM', state.key, entries[i])
      if tonumber(own) > 0 then
        redis.call('ZADD', state.key, entries[i + 1], text(sum - back) .. ':' .. text(own))
      end
    end
    state.used = state.used - back
    return true
  end,

  clear = function(state)
    state.used, state.base, state.sum, state.last, state.wrong = 0, 0, 0, nil, true
  end,

  save = function(state, ttl)
    redis.call('ZREMRANGEBYSCORE', state.key, '-inf', state.wrong and '+inf' or text(state.now - state.window))
    if state.fresh > 0 then
      local cost = state.fresh
      if state.last and state.newest == state.now then
        redis.call('ZREM', state.key, state.last)
        cost = cost + state.cost
      end
      redis.call('ZADD', state.key, text(state.now), text(state.sum + state.fresh) .. ':' .. text(cost))
    end
    if state.blocked > 0 then redis.call('ZADD', state.key, -1, 'blocked:' .. text(state.blocked)) end
    redis.call('PEXPIRE', state.key, text(ttl))
  end`;
