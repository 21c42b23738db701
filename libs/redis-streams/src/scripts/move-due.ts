import { defineScript } from '@redstart/redis-core';

/** What a look at one delay queue came to. */
export interface DueMove {
  readonly moved: number;
  /** How long until the next message is due, in ms; 0 when more are due already, `undefined` when none is waiting. */
  readonly waitMs: number | undefined;
  /** Messages whose content was gone or foreign; they have been dropped. */
  readonly damaged: number;
  /** Why the queue could not be moved on; what was due stays. */
  readonly problem: string | undefined;
}

/**
 * Moves due messages of some delay queues to their streams, in the order of their due times; at most `limit` of them, and about 4 MiB.
 *
 * Each message is added, and taken from its queue, before the next: an error in between leaves no message in both places, and in neither. An account that may not ZREM adds nothing: it is found out by a ZREM of nothing. Moving takes no
 * memory that waiting has not, so it goes on when memory is full.
 *
 * KEYS  due, delayed, target; due, delayed, target; ...
 * ARGV  limit
 * Returns  for each queue { moved, wait ms (-1: none is waiting), damaged, problem or '' }
 */
export const moveDueScript = defineScript<DueMove[]>({
  name: 'streams:move-due',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local left, bytes = tonumber(ARGV[1]), 4 * 1024 * 1024

    local function fieldsOf(packed)
      if not packed then return nil end
      local whole, fields = pcall(cmsgpack.unpack, packed)
      if not whole or type(fields) ~= 'table' or #fields < 2 or #fields % 2 == 1 or #fields > 7000 then return nil end
      for _, part in ipairs(fields) do
        if type(part) ~= 'string' then return nil end
      end
      return fields
    end

    local function move(due, delayed, target, outcome)
      while true do
        local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
        if not first[1] then outcome[2] = -1 return end
        outcome[2] = math.min(2^31, math.max(0, math.ceil(first[2] - now)))
        if outcome[2] > 0 or left == 0 or bytes <= 0 then return end
        local id = first[1]
        local packed = redis.call('HGET', delayed, id)
        local fields = fieldsOf(packed)
        if fields then
          if outcome[1] == 0 then redis.call('ZREM', due, '') end
          redis.call('XADD', target, '*', unpack(fields))
          outcome[1], bytes = outcome[1] + 1, bytes - #packed
        else
          outcome[3] = outcome[3] + 1
        end
        redis.call('ZREM', due, id)
        redis.call('HDEL', delayed, id)
        left = left - 1
      end
    end

    local outcomes = {}
    for at = 1, #KEYS, 3 do
      local outcome = {0, 0, 0, ''}
      local fine, problem = pcall(move, KEYS[at], KEYS[at + 1], KEYS[at + 2], outcome)
      if not fine then outcome[4] = type(problem) == 'table' and problem.err or tostring(problem) end
      outcomes[#outcomes + 1] = outcome
    end
    return outcomes
  `,
  parse: (reply) => (Array.isArray(reply) ? reply.map(parseMove) : []),
});

function parseMove(outcome: unknown): DueMove {
  const [moved, waitMs, damaged, problem] = Array.isArray(outcome) ? (outcome as unknown[]) : [];
  return {
    moved: Number(moved),
    waitMs: Number(waitMs) < 0 ? undefined : Number(waitMs),
    damaged: Number(damaged),
    problem: problem === '' ? undefined : String(problem),
  };
}
