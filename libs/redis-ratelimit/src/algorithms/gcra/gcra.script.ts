/**
 * The generic cell rate algorithm as a bucket of debt: a unit costs p, the debt drains by q a microsecond, where p / q is the time for one unit in its lowest
 * terms. So all numbers are whole, and nothing is rounded until a time is told. What was owed under another rate stays as many units, a begun one in full, and drains
 * at the new rate.
 *
 * Time stands still while the clock is behind the stored moment. One further ahead than the bucket takes to drain is of a clock that was wrong, and
 * forgotten, as after a restart.
 *
 * State per key: STRING  `<debt> <its moment (us)> <blocked until (us)> <p>`
 * Parameters: burst, p, q
 */
export const gcraLua = `
  load = function(key, now, burst, p, q)
    local debt, since, blocked, unit = unpackState(key)
    if not debt then return nil, since end
    if debt > 0 and unit ~= p then
      if not unit or unit == 0 then return nil, foreign end
      debt = math.min(ceilDiv(debt, unit) * p, largest)
    end
    if since > now and since - now > ceilDiv(burst * p, q) then debt = 0 end
    debt = math.max(0, debt - math.max(0, now - since) * q)
    if debt > 0 then now = math.max(now, since) end
    return { key = key, now = now, blocked = blocked, debt = debt, burst = burst, p = p, q = q }
  end,

  wait = function(state, cost)
    if cost > state.burst then return -1 end
    -- In this order no sum leaves the exact integers.
    return ceilDiv(math.max(0, state.debt - (state.burst - cost) * state.p), state.q)
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
    local back = math.min(owed, cost * state.p, state.debt)
    state.debt = state.debt - back
    return back > 0
  end,

  clear = function(state) state.debt = 0 end,

  save = function(state, ttl) packState(state.key, ttl, state.debt, state.now, state.blocked, state.p) end`;
