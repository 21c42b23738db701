/**
 * Lua functions about entry ids and the groups of a stream, for scripts that drop entries.
 *
 * - `before(a, b)`: whether id a comes before id b; their numbers may take 64 bits, so they are compared as digits
 * - `groupsOf(stream)`: of each group its `name`, the id `delivered` last, and its `floor`, the first id that it has not finished: its earliest pending one, or the one behind `delivered` (that one itself where its sequence is too
 *   large for Lua to add to, as behind a reset to a moment: there is no entry of that id, or it stays a little longer)
 * - `dropTo(stream, cap)`: drops the oldest entries of a stream that holds more than `cap`, a tenth or 100 more than needed, and returns how many of them were not finished
 *   by every group. They stay pending where they were, and the reaper tells of them as well.
 */
export const groupsInLua = `
    local function halves(id)
      local dash = string.find(id, '-', 1, true)
      return string.sub(id, 1, dash - 1), string.sub(id, dash + 1)
    end

    local function smaller(a, b)
      if #a ~= #b then return #a < #b end
      return a < b
    end

    local function before(a, b)
      local aMs, aSeq = halves(a)
      local bMs, bSeq = halves(b)
      if aMs ~= bMs then return smaller(aMs, bMs) end
      return smaller(aSeq, bSeq)
    end

    local function groupsOf(stream)
      local groups = {}
      for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
        local group = {}
        for at = 1, #row, 2 do
          if row[at] == 'name' then group.name = row[at + 1] end
          if row[at] == 'pending' then group.pending = row[at + 1] end
          if row[at] == 'last-delivered-id' then group.delivered = row[at + 1] end
        end
        if group.pending > 0 then
          group.floor = redis.call('XPENDING', stream, group.name)[2]
        else
          local ms, seq = halves(group.delivered)
          group.floor = #seq < 16 and ms .. '-' .. string.format('%.0f', seq + 1) or group.delivered
        end
        groups[#groups + 1] = group
      end
      return groups
    end

    local function dropTo(stream, cap)
      local length = redis.call('XLEN', stream)
      if length <= cap then return 0 end
      local count = math.min(200, length - cap + math.min(100, math.floor(cap / 10)))
      local dropped = redis.call('XRANGE', stream, '-', '+', 'COUNT', count)
      local last = dropped[#dropped][1]
      local unfinished, lost = {}, 0
      for _, group in ipairs(groupsOf(stream)) do
        for _, row in ipairs(redis.call('XPENDING', stream, group.name, dropped[1][1], last, count)) do unfinished[row[1]] = true end
        for _, entry in ipairs(dropped) do
          if before(group.delivered, entry[1]) then unfinished[entry[1]] = true end
        end
      end
      for _, entry in ipairs(dropped) do
        if unfinished[entry[1]] then lost = lost + 1 end
      end
      redis.call('XTRIM', stream, 'MAXLEN', '=', string.format('%.0f', length - #dropped))
      return lost
    end`;
