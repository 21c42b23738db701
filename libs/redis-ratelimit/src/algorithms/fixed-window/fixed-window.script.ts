/**
 * One count per window. The window starts with its first call, or by the calendar.
 *
 * Time stands still while the clock is before the start of the stored window. One that starts further ahead than a window is of a clock that was wrong, and
 * forgotten, as after a restart.
 *
 * State per key: STRING  `<units taken> <start of the window (us)> <blocked until (us)>`
 * Parameters: limit, window (us), where a window of the calendar starts (us since 1970), -1: with the first call
 */
export const fixedWindowLua = `
  load = function(key, now, limit, window, origin)
    local used, start, blocked = unpackState(key)
    if not used then return nil, start end
    if start > now + window or now >= start + window then used = 0 end
    if used == 0 then
      start = origin < 0 and now or now - math.fmod(now - origin, window)
    end
    return {
      key = key, now = math.max(now, start), blocked = blocked,
      used = used, start = start, limit = limit, window = window, origin = origin,
    }
  end,

  wait = function(state, cost)
    if state.used + cost <= state.limit then return 0 end
    if cost > state.limit then return -1 end
    return state.start + state.window - state.now
  end,

  left = function(state)
    local reset = state.used > 0 and state.start + state.window - state.now or 0
    return math.max(0, state.limit - state.used), reset
  end,

  take = function(state, cost)
    state.used = state.used + cost
    return state.start
  end,

  give = function(state, cost, mark)
    local back = mark == state.start and math.min(cost, state.used) or 0
    state.used = state.used - back
    return back > 0
  end,

  clear = function(state)
    state.used = 0
    state.start = state.origin < 0 and state.now or state.now - math.fmod(state.now - state.origin, state.window)
  end,

  save = function(state, ttl) packState(state.key, ttl, state.used, state.start, state.blocked) end`;
