import { defineScript, type RedisCall, type RedisConnection, type Script } from '@redstart/redis-core';
import type { Limit } from '../policies/policy.js';
import type { Verdict } from './algorithm.js';
import { algorithms } from './algorithms.js';

/** One limit of a call: where its state is, and how much the call takes from it. */
export interface LimitCharge {
  readonly key: string;
  readonly limit: Limit;
  readonly cost: number;
}

/** What the script found, and when. */
export interface Decided {
  /** The moment by the server's clock, in milliseconds. */
  readonly at: number;
  readonly verdicts: readonly Verdict[];
}

const columns = 5;

const lua = `
local kinds = {}
${Object.values(algorithms)
  .map((algorithm) => `kinds['${algorithm.id}'] = {${algorithm.lua}\n}`)
  .join('\n')}

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local verdicts, allowed = {}, true
for i, key in ipairs(KEYS) do
  local at = (i - 1) * ${columns} + 2
  local verdict = kinds[ARGV[at]].look(
    key, now, tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  )
  verdicts[i] = verdict
  allowed = allowed and verdict.ok
end

if allowed and ARGV[1] == 'take' then
  for i, key in ipairs(KEYS) do
    local at = (i - 1) * ${columns} + 2
    local cost = tonumber(ARGV[at + 1])
    if cost > 0 then kinds[ARGV[at]].take(key, verdicts[i], cost) end
  end
end

local reply = { now }
for _, verdict in ipairs(verdicts) do
  reply[#reply + 1] = verdict.ok and 1 or 0
  reply[#reply + 1] = verdict.remaining
  reply[#reply + 1] = verdict.retry
  reply[#reply + 1] = verdict.reset
  reply[#reply + 1] = verdict.mark
end
return reply`;

const scripts = new Map<number, Script<Decided>>();

/**
 * Decides any number of limits of one subject, of any kind: first all are looked at, then all are charged, or none. A denial writes nothing.
 *
 * KEYS  one per limit
 * ARGV  'take' | 'look', then per limit: kind, cost, three parameters of the kind
 * Returns  the server's time in ms, then per limit: allowed 0 | 1, remaining, retry after (ms, -1 never), reset after (ms), mark
 */
function decideScript(limits: number): Script<Decided> {
  const script = scripts.get(limits) ?? defineScript({ name: 'ratelimit:decide', keys: limits, lua, parse });
  scripts.set(limits, script);
  return script;
}

/** Runs the script: one EVALSHA. All keys must belong to one subject. */
export function runDecide(
  connection: RedisConnection,
  call: RedisCall,
  charges: readonly LimitCharge[],
  take: boolean,
): Promise<Decided> {
  const keys = charges.map(({ key }) => key);
  const parameters = charges.flatMap(({ limit, cost }) => {
    const algorithm = algorithms[limit.kind];
    return [algorithm.id, cost, ...algorithm.parameters(limit)];
  });
  return connection.scripts.run(call, decideScript(charges.length), keys, [take ? 'take' : 'look', ...parameters]);
}

function parse(reply: unknown): Decided {
  if (!Array.isArray(reply) || reply.length % columns !== 1 || !reply.every(Number.isInteger)) {
    throw new TypeError('ratelimit:decide answered something else than its rows of integers.');
  }
  const [at = 0, ...cells] = reply.map(Number);
  const verdicts: Verdict[] = [];
  for (let i = 0; i < cells.length; i += columns) {
    const [ok, remaining = 0, retry = 0, resetAfterMs = 0, mark = 0] = cells.slice(i, i + columns);
    verdicts.push({
      allowed: ok === 1,
      remaining,
      retryAfterMs: retry === -1 ? Infinity : retry,
      resetAfterMs,
      mark,
    });
  }
  return { at, verdicts };
}
