/**
 * A token bucket that is refilled in portions, kept as the number of tokens that are missing and the last moment at which a portion was put in. The moments of
 * the portions start with the first token taken out of a full bucket.
 *
 * Time stands still while the clock is behind the stored moment. One further ahead than the bucket takes to fill is of a clock that was wrong, and
 * forgotten, as after a restart.
 *
 * State per key: STRING  `<missing tokens> <last refill (us)> <blocked until (us)>`
 * Parameters: capacity, refill, time between refills (us)
 */
export const tokenBucketLua = `
  load = function(key, now, capacity, refill, per)
    local missing, refilled, blocked = unpackState(key)
    if not missing then return nil, refilled end
    if refilled > now and refilled - now > ceilDiv(capacity, refill) * per then missing = 0 end
    if missing > 0 then
      now = math.max(now, refilled)
      local portions = floorDiv(now - refilled, per)
      missing = math.max(0, missing - portions * refill)
      refilled = refilled + portions * per
    end
    if missing == 0 then refilled = now end
    return {
      key = key, now = now, blocked = blocked,
      missing = missing, refilled = refilled, capacity = capacity, refill = refill, per = per,
    }
  end,

  wait = function(state, cost)
    if cost > state.capacity then return -1 end
    local lacking = state.missing + cost - state.capacity
    if lacking <= 0 then return 0 end
    return state.refilled + ceilDiv(lacking, state.refill) * state.per - state.now
  end,

  left = function(state)
    local reset = 0
    if state.missing > 0 then
      reset = state.refilled + ceilDiv(state.missing, state.refill) * state.per - state.now
    end
    return math.max(0, state.capacity - state.missing), reset
  end,

  take = function(state, cost)
    state.missing = state.missing + cost
    return state.missing
  end,

  give = function(state, cost, mark, at)
    -- The moments of the portions may have moved since, but only when the bucket was full in between; then there are enough of them to leave nothing.
    local portions = state.refilled > at and ceilDiv(state.refilled - at, state.per) or 0
    local back = math.min(math.max(0, mark - portions * state.refill), cost, state.missing)
    state.missing = state.missing - back
    return back > 0
  end,

  clear = function(state) state.missing, state.refilled = 0, state.now end,

  save = function(state, ttl) packState(state.key, ttl, state.missing, state.refilled, state.blocked) end`;
