import type { Algorithm } from '../algorithms/algorithm.js';

/** What every script of this library begins with: exact arithmetic, the packed state of the small kinds, and the kinds themselves. */
export function prelude(kinds: readonly Algorithm<never>[]): string {
  return `
local foreign = 'the key holds something else than the state of this rate limit'
local largest = 9007199254740991
local nothing = {}

local function text(number) return string.format('%.0f', number) end

-- The plain quotient of large integers may be rounded up to the next one.
local function floorDiv(a, b) return (a - math.fmod(a, b)) / b end
local function ceilDiv(a, b) return floorDiv(a, b) + (math.fmod(a, b) > 0 and 1 or 0) end

local function unpackState(key)
  local stored = redis.pcall('GET', key)
  if not stored then return 0, 0, 0, 0 end
  if type(stored) == 'table' then return nil, stored.err end
  local x, y, blocked, z = string.match(stored, '^(%d+) (%d+) (%d+) ?(%d*)$')
  x, y, blocked, z = tonumber(x), tonumber(y), tonumber(blocked), tonumber(z)
  if not x or x > largest or y > largest or blocked > largest then return nil, foreign end
  return x, y, blocked, z
end

local function packState(key, ttl, x, y, blocked, z)
  local packed = text(x) .. ' ' .. text(y) .. ' ' .. text(blocked)
  if z then packed = packed .. ' ' .. text(z) end
  redis.call('SET', key, packed, 'PX', text(ttl))
end

local kinds = {
${kinds.map(({ id, lua }) => `${id} = {${lua}\n},`).join('\n')}
}

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local arguments, cursor, key_cursor = ARGV, 0, 0
local function argument()
  cursor = cursor + 1
  return arguments[cursor]
end
local function number()
  cursor = cursor + 1
  return tonumber(arguments[cursor])
end
local function nextKey()
  key_cursor = key_cursor + 1
  return KEYS[key_cursor]
end

-- A limit as the caller describes it, with what a call takes from it.
local function readLimit()
  local at = cursor
  cursor = at + 7
  return {
    kind = kinds[arguments[at + 1]], cost = tonumber(arguments[at + 2]),
    enforced = arguments[at + 3] == '1', block = tonumber(arguments[at + 4]),
    a = tonumber(arguments[at + 5]), b = tonumber(arguments[at + 6]), c = tonumber(arguments[at + 7]),
  }
end

-- Times are told from the clock's now, also when the state's time stands still ahead of it.
-- The difference comes first: the sum of a long time and a moment may leave the exact integers.
local function leftOf(limit, state)
  local remaining, reset = limit.kind.left(state)
  if reset > 0 then reset = reset + (state.now - now) end
  if state.blocked > now then return 0, math.max(reset, state.blocked - now) end
  return remaining, reset
end

local function waitOf(limit, state)
  local wait = limit.kind.wait(state, limit.cost)
  if wait > 0 then wait = wait + (state.now - now) end
  if wait >= 0 and state.blocked > now then wait = math.max(wait, state.blocked - now) end
  return wait
end

local function save(limit, state, reset)
  if state.blocked <= now then state.blocked = 0 end
  if reset > 0 then
    -- One more, since some servers count a TTL from when the script began.
    limit.kind.save(state, math.ceil(reset / 1000) + 1)
  else
    redis.call('DEL', state.key)
  end
end
`;
}
