import {
  defineScript,
  RedisCommandError,
  type RedisCall,
  type RedisConnection,
  type Script,
  type ScriptFlag,
} from '@redstart/redis-core';
import type { Algorithm, Charge } from '../algorithms/algorithm.js';
import { algorithmOf, type Limit } from '../algorithms/algorithms.js';
import { prelude } from './prelude.js';

/**
 * Corrects what is counted, without a decision. What sets a count ends a block.
 *
 * KEYS  one per limit
 * ARGV  give | penalize | set | block, number of limits, then each limit as in `decide.ts`, its cost being the units to give back, to take at most, or to count
 *       then for give each limit's mark and moment (us), for block its length (us)
 * Returns  the units that each limit now counts more, or less: negative, and never 0 when something was given back; or why a key can't be read
 */
const lua = `
local verb, limits, states = argument(), {}, {}
for i = 1, number() do limits[i] = readLimit() end
for i, limit in ipairs(limits) do
  local failure
  states[i], failure = limit.kind.load(nextKey(), now, limit.a, limit.b, limit.c, '')
  if failure then return { failure } end
end

local blocked_until = verb == 'block' and now + number()
local changes = {}
for i, limit in ipairs(limits) do
  local kind, state = limit.kind, states[i]
  local before = kind.left(state)
  local changed, least = true, 0
  if verb == 'give' then
    changed = kind.give(state, limit.cost, number(), number())
    -- Part of a unit is something, too.
    if changed then least = -1 end
  elseif verb == 'penalize' then
    kind.take(state, math.min(limit.cost, before))
    changed = before > 0
  elseif verb == 'set' then
    -- Slots are no count that could be set.
    if kind.clear then
      kind.clear(state)
      kind.take(state, limit.cost)
    end
    state.blocked = 0
  elseif verb == 'block' then
    state.blocked = blocked_until
  end
  local change = before - kind.left(state)
  changes[i] = change == 0 and least or change
  if changed then
    local _, reset = leftOf(limit, state)
    save(limit, state, reset)
  end
end
return changes`;

/** A limit and the key of its state for one subject. */
export interface LimitKey {
  readonly key: string;
  readonly limit: Limit;
}

export type Amendment =
  /** One charge per limit. */
  | { readonly verb: 'give'; readonly charges: readonly Charge[] }
  | { readonly verb: 'penalize' | 'set'; readonly units: number }
  | { readonly verb: 'block'; readonly ms: number };

const scripts = new Map<string, Script<readonly number[]>>();

/**
 * Runs the script: one EVALSHA. All keys must live in one slot.
 * @returns by how many units each limit counts more than before
 */
export function runAmend(
  connection: Pick<RedisConnection, 'scripts'>,
  call: RedisCall,
  limits: readonly LimitKey[],
  amendment: Amendment,
): Promise<readonly number[]> {
  const used = [...new Set(limits.map(({ limit }) => algorithmOf(limit)))];
  return connection.scripts.run(
    call,
    amendScript(used, amendment.verb === 'give' ? ['allow-oom'] : []),
    limits.map(({ key }) => key),
    [
      amendment.verb,
      limits.length,
      ...limits.flatMap(({ limit }, index) => {
        const algorithm = algorithmOf(limit);
        return [algorithm.id, unitsOf(amendment, index), 1, 0, ...algorithm.parameters(limit)];
      }),
      ...extraOf(amendment),
    ],
  );
}

/** What gives back needs no more room. */
function amendScript(kinds: readonly Algorithm<never>[], flags: readonly ScriptFlag[]): Script<readonly number[]> {
  const sorted = [...kinds].sort((a, b) => (a.id < b.id ? -1 : 1));
  const name = [...flags, ...sorted.map(({ id }) => id)].join('+');
  const script =
    scripts.get(name) ??
    defineScript({ name: 'ratelimit:amend', keys: 'any', flags, lua: prelude(sorted) + lua, parse });
  scripts.set(name, script);
  return script;
}

function unitsOf(amendment: Amendment, index: number): number {
  if (amendment.verb === 'give') return amendment.charges[index]?.cost ?? 0;
  return 'units' in amendment ? amendment.units : 0;
}

function extraOf(amendment: Amendment): number[] {
  if (amendment.verb === 'block') return [amendment.ms * 1_000];
  return amendment.verb === 'give' ? amendment.charges.flatMap(({ mark, atUs }) => [mark, atUs]) : [];
}

function parse(reply: unknown): readonly number[] {
  if (!Array.isArray(reply)) throw new TypeError('ratelimit:amend answered no list.');
  const [failure] = reply as unknown[];
  if (typeof failure === 'string') throw new RedisCommandError(`ratelimit.amend: ${failure}.`, 'WRONGTYPE');
  return reply.map(Number);
}
