/**
 * The generic cell rate algorithm as a bucket of debt: a unit costs p, the debt drains by q a microsecond, where p / q is the time for one unit in its lowest
 * terms. So all numbers are whole, and nothing is rounded until a time is told. Debt that was made under another rate keeps the time it takes to drain.
 *
 * Time stands still while the clock is behind the stored moment. One further ahead than the bucket takes to drain is of a clock that was wrong, and
 * forgotten, as after a restart.
 *
 * State per key: STRING  `<debt> <its moment (us)> <blocked until (us)> <q>`
 * Parameters: burst, p, q
 */
export const gcraLua = `
  load = function(key, now, burst, p, q)
    local debt, since, blocked, drain = unpackState(key)
    if not debt then return nil, since end
    if debt > 0 and drain ~= q then debt = math.ceil(debt / drain * q) end
    if since > now and since - now > ceilDiv(burst * p, q) then debt, since = 0, now end
    debt = math.max(0, debt - math.max(0, now - since) * q)
    if debt > 0 then now = math.max(now, since) end
    return { key = key, now = now, blocked = blocked, debt = debt, burst = burst, p = p, q = q }
  end,

  wait = function(state, cost)
    if cost > state.burst then return -1 end
    return ceilDiv(math.max(0, state.debt + cost * state.p - state.burst * state.p), state.q)
  end,

  left = function(state)
    return floorDiv(math.max(0, state.burst * state.p - state.debt), state.p), ceilDiv(state.debt, state.q)
  end,

  take = function(state, cost)
    state.debt = state.debt + cost * state.p
    return state.debt
  end,

  give = function(state, cost, mark, at)
    local owed = math.max(0, mark - math.max(0, state.now - at) * state.q)
    state.debt = math.max(0, state.debt - math.min(owed, cost * state.p))
  end,

  clear = function(state) state.debt = 0 end,

  save = function(state, ttl) packState(state.key, ttl, state.debt, state.now, state.blocked, state.q) end`;
