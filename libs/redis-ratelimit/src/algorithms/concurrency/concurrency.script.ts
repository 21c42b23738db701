/**
 * Slots with leases: a call that holds one counts until it gives it back or its lease lapses. Who holds a slot and asks again gets a full lease, so a call may be
 * repeated when its reply was lost. Whatever a call costs, it takes one slot.
 *
 * When the clock goes back, leases end that much later, except that a living holder's next renewal puts its own right.
 *
 * State per key: ZSET  slot id -> lease ends (us), `blocked` -> minus the moment until when (us), so that it stands before all slots
 * Parameters: limit, lease (us)
 */
export const concurrencyLua = `
  load = function(key, now, limit, lease, _, id)
    local first = redis.pcall('ZRANGE', key, 0, 1, 'WITHSCORES')
    if first.err then return nil, first.err end
    local state = {
      key = key, now = now, id = id, limit = limit, lease = lease,
      blocked = 0, taken = 0, held = false, after = '(' .. text(now),
    }
    if not first[1] then return state end
    for i = 1, #first, 2 do
      local score = tonumber(first[i + 1])
      if first[i] == 'blocked' then
        state.blocked, state.had_block = -score, true
        if not (score < 0 and -score <= largest) then return nil, foreign end
      elseif score < 1e15 or score > largest then
        -- No lease ends in the last century, or never. One behind the first two is left out, which costs no further look.
        return nil, foreign
      end
    end
    state.held = tonumber(redis.call('ZSCORE', key, id) or 0) > now
    state.taken = redis.call('ZCOUNT', key, state.after, text(largest))
    return state
  end,

  wait = function(state, cost)
    if cost == 0 or state.held or state.taken < state.limit then return 0 end
    local slot = redis.call(
      'ZRANGE', state.key, state.after, text(largest), 'BYSCORE', 'LIMIT', state.taken - state.limit, 1, 'WITHSCORES')
    return slot[2] - state.now
  end,

  left = function(state)
    local reset = state.entered and state.lease or 0
    if state.taken > 0 then
      local slots = redis.call(
        'ZRANGE', state.key, text(largest), state.after, 'BYSCORE', 'REV', 'LIMIT', 0, 2, 'WITHSCORES')
      for i = #slots - 1, 1, -2 do
        if not state.entered or slots[i] ~= state.id then reset = math.max(reset, slots[i + 1] - state.now) end
      end
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
    redis.call('ZREMRANGEBYSCORE', state.key, 0, text(state.now))
    if state.entered then redis.call('ZADD', state.key, text(state.now + state.lease), state.id) end
    if state.blocked > 0 then
      redis.call('ZADD', state.key, text(-state.blocked), 'blocked')
    elseif state.had_block then
      redis.call('ZREM', state.key, 'blocked')
    end
    redis.call('PEXPIRE', state.key, text(ttl))
  end`;
