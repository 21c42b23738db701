import { defineScript, type Script } from '@redstart/redis-core';
import type { Algorithm } from '../algorithms/algorithm.js';
import { prelude } from './prelude.js';

/**
 * Decides calls. The limits of one call are looked at together, then all of them are charged, or none; a denial writes nothing, unless it starts a block.
 * Calls that want the same of the same keys come as one entry and are decided one after the other. A key that can't be read fails its own entry only.
 *
 * KEYS  of one entry after the other: one key per limit, then, when the call is remembered, the key of its memory
 * ARGV  number of plans, then each plan: 1 take | 0 look, 1 when calls have an id, how long they are remembered (ms, 0: not), number of limits, then each limit: kind,
 *       cost, 1 enforced | 0 shadow, block (us), three parameters of the kind
 *       then each entry: number of its plan, how many calls, the id of the call when it has one; nothing at all when each entry is one call without id of the first plan
 * Returns  numbers, as 64-bit floats one after the other, which a client reads ten times faster than a list of integers; then a text for each entry that failed: why.
 *          The numbers per entry: how many outcomes follow, when (us), then each outcome: per limit 0 denied | 1 allowed | 2 blocked, remaining, retry after (us, -1 never),
 *          reset after (us), mark. Calls beyond the last outcome have the same one. An entry that failed: -1
 */
export const decideLua = `
local plans = {}
for plan = 1, number() do
  local take, named, remember, limits = number() == 1, number() == 1, number(), {}
  for i = 1, number() do limits[i] = readLimit() end
  plans[plan] = { take = take, named = named, remember = remember, limits = limits }
end

local reply, said, failures = {}, 0, {}
-- Of the entry that is being decided: filled anew for each.
local states, waits = {}, {}

-- One call: a row per limit. Returns whether it was allowed.
local function decide(plan)
  local limits, allowed = plan.limits, true
  for i = 1, #limits do
    waits[i] = waitOf(limits[i], states[i])
    if waits[i] ~= 0 and limits[i].enforced then allowed = false end
  end
  for i = 1, #limits do
    local limit, state, wait, mark = limits[i], states[i], waits[i], 0
    if plan.take and limit.cost > 0 then
      if allowed and wait == 0 then
        mark = limit.kind.take(state, limit.cost)
        state.changed = true
      elseif wait > 0 and limit.enforced and limit.block > 0 and state.blocked <= now then
        state.blocked = now + limit.block
        state.changed = true
        wait = math.max(wait, limit.block)
      end
    end
    reply[said + 1] = wait == 0 and 1 or state.blocked > now and 2 or 0
    reply[said + 2], reply[said + 4] = leftOf(limit, state)
    reply[said + 3], reply[said + 5] = wait, mark
    said = said + 5
  end
  return allowed
end

local function fail(why)
  said = said + 1
  reply[said] = -1
  failures[#failures + 1] = why
end

-- What was said of a call that has been made before.
local function repeatFrom(known, rows)
  local first = said
  for value in string.gmatch(known, '%-?%d+') do
    said = said + 1
    reply[said] = tonumber(value)
  end
  if said ~= first + 2 + 5 * rows then
    for i = first + 1, said do reply[i] = nil end
    said = first
    fail(foreign)
  end
end

local function answer(plan, times, id)
  local limits, failure = plan.limits, nil
  local first_key = key_cursor
  key_cursor = key_cursor + #limits
  local memory = plan.remember > 0 and nextKey()
  if memory then
    local known = redis.pcall('GET', memory)
    if known then
      if known.err then return fail(known.err) end
      return repeatFrom(known, #limits)
    end
  end
  for i = 1, #limits do
    local limit = limits[i]
    states[i], failure = limit.kind.load(KEYS[first_key + i], now, limit.a, limit.b, limit.c, id)
    if failure then return fail(failure) end
  end

  local first, outcomes = said + 1, 0
  reply[first], reply[first + 1] = 0, now
  said = said + 2
  repeat
    local allowed = decide(plan)
    outcomes = outcomes + 1
  until outcomes == times or not plan.take or not allowed
  reply[first] = outcomes
  for i = 1, #limits do
    -- The reset of the last row that was said of it.
    if states[i].changed then save(limits[i], states[i], reply[said - 5 * (#limits - i) - 1]) end
  end
  if memory then
    local outcome = {}
    for i = first, said do outcome[#outcome + 1] = text(reply[i]) end
    redis.call('SET', memory, table.concat(outcome, ' '), 'PX', plan.remember)
  end
end

if cursor == #ARGV then
  while key_cursor < #KEYS do answer(plans[1], 1, '') end
end
while cursor < #ARGV do
  local plan = plans[number()]
  answer(plan, number(), plan.named and argument() or '')
end

-- Lua puts only so many values on its stack.
local packed = {}
for first = 1, said, 1000 do
  local last = math.min(said, first + 999)
  packed[#packed + 1] = struct.pack('<' .. string.rep('d', last - first + 1), unpack(reply, first, last))
end
return { table.concat(packed), unpack(failures) }`;

/** What one limit says of one call. Times are microseconds from the moment of the decision. */
export interface Verdict {
  readonly allowed: boolean;
  /** Denied because of what the subject has done before: see the option `block` and `RateLimitService.block`. */
  readonly blocked: boolean;
  readonly remaining: number;
  /** 0 when allowed, `Infinity` when waiting does not help. */
  readonly retryUs: number;
  readonly resetUs: number;
  /** Where a charge stands; see {@link Charge}. */
  readonly mark: number;
}

/** What was said of one call, and when, in microseconds of the server. */
export interface Outcome {
  readonly atUs: number;
  readonly verdicts: readonly Verdict[];
}

/** The answer to one entry: an outcome for each of its calls, or what is wrong with its key. */
export type Answer = readonly Outcome[] | { readonly failure: string };

/** How the reply is to be read: per entry its number of calls and of limits. */
export interface AnswerShape {
  readonly calls: number;
  readonly limits: number;
}

/** A reply as it came. */
export interface DecideReply {
  readonly numbers: DataView;
  readonly failures: readonly string[];
}

const scripts = new Map<string, Script<DecideReply>>();

/** The script for some kinds of limit: an application has few combinations. */
export function decideScript(kinds: readonly Algorithm<never>[]): Script<DecideReply> {
  const sorted = [...kinds].sort((a, b) => (a.id < b.id ? -1 : 1));
  const name = sorted.map(({ id }) => id).join('+');
  const known = scripts.get(name);
  if (known !== undefined) return known;
  const lua = prelude(sorted) + decideLua;
  const script = defineScript({ name: 'ratelimit:decide', keys: 'any', lua, buffers: true, parse: parseReply });
  scripts.set(name, script);
  return script;
}

/** Reads the reply entry by entry. */
export function readAnswers({ numbers, failures }: DecideReply, shapes: readonly AnswerShape[]): Answer[] {
  let offset = 0;
  let failed = 0;
  const next = (): number => {
    const value = numbers.getFloat64(offset, true);
    offset += bytesOfNumber;
    return value;
  };
  return shapes.map(({ calls, limits }): Answer => {
    const count = next();
    if (count < 0) return { failure: failures[failed++] ?? 'no reason' };
    const atUs = next();
    const outcomes: Outcome[] = [];
    for (let i = 0; i < count; i++) {
      const verdicts: Verdict[] = [];
      for (let j = 0; j < limits; j++) verdicts.push(verdictOf(next(), next(), next(), next(), next()));
      outcomes.push({ atUs, verdicts });
    }
    const last = outcomes.at(-1);
    while (last !== undefined && outcomes.length < calls) outcomes.push(last);
    return outcomes;
  });
}

function verdictOf(code: number, remaining: number, retry: number, resetUs: number, mark: number): Verdict {
  return { allowed: code === 1, blocked: code === 2, remaining, retryUs: retry < 0 ? Infinity : retry, resetUs, mark };
}

const bytesOfNumber = 8;

function parseReply(reply: unknown): DecideReply {
  const parts: readonly unknown[] = Array.isArray(reply) ? reply : [];
  const [packed, ...failures] = parts;
  if (!Buffer.isBuffer(packed)) throw new TypeError('ratelimit:decide answered no numbers.');
  return { numbers: new DataView(packed.buffer, packed.byteOffset, packed.byteLength), failures: failures.map(String) };
}
