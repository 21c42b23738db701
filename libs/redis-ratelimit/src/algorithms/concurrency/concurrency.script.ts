/**
 * Slots with leases: a call that holds one counts until it gives it back or its lease lapses. Who holds a slot and asks again gets a full lease, so a call may be
 * repeated when its reply was lost. Whatever a call costs, it takes one slot.
 *
 * State per key: ZSET  slot id -> lease ends (us), `blocked` -> until when (us)
 * Parameters: limit, lease (us)
 */
export const concurrencyLua = `
  load = function(key, now, limit, lease, _, id)
    local blocked = redis.pcall('ZSCORE', key, 'blocked')
    if type(blocked) == 'table' and blocked.err then return nil, blocked.err end
    blocked = tonumber(blocked or 0)
    local ends = tonumber(redis.call('ZSCORE', key, id) or 0)
    local taken = redis.call('ZCOUNT', key, '(' .. text(now), '+inf')
    if blocked > now then taken = taken - 1 end
    return { key = key, now = now, id = id, limit = limit, lease = lease, blocked = blocked, taken = taken, held = ends > now }
  end,

  wait = function(state, cost)
    if cost == 0 or state.held or state.taken < state.limit then return 0 end
    local place = state.taken - state.limit + 1
    local slots = redis.call('ZRANGE', state.key, '(' .. text(state.now), '+inf', 'BYSCORE', 'LIMIT', 0, place + 1, 'WITHSCORES')
    for i = 1, #slots, 2 do
      if slots[i] ~= 'blocked' then place = place - 1 end
      if place == 0 then return slots[i + 1] - state.now end
    end
    return state.lease
  end,

  left = function(state)
    local reset = state.entered and state.lease or 0
    local slots = redis.call('ZRANGE', state.key, -2, -1, 'WITHSCORES')
    for i = 1, #slots, 2 do
      if slots[i] ~= 'blocked' then reset = math.max(reset, slots[i + 1] - state.now) end
    end
    return math.max(0, state.limit - state.taken), reset
  end,

  take = function(state)
    state.entered = true
    if not state.held then
      state.held = true
      state.taken = state.taken + 1
    end
    return 0
  end,

  save = function(state, ttl)
    redis.call('ZREMRANGEBYSCORE', state.key, '-inf', text(state.now))
    if state.entered then redis.call('ZADD', state.key, text(state.now + state.lease), state.id) end
    if state.blocked > 0 then redis.call('ZADD', state.key, text(state.blocked), 'blocked') end
    redis.call('PEXPIRE', state.key, text(ttl))
  end`;
