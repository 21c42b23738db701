import {
  defineScript,
  ScriptRunner,
  type RedisCall,
  type RedisConnection,
  type Script,
  type ScriptArgument,
} from '@redstart/redis-core';
import { algorithmOf } from '../../src/algorithms/algorithms.js';
import { runAmend, type Amendment, type LimitKey } from '../../src/scripts/amend.js';
import { decideScript, readAnswers, type Outcome } from '../../src/scripts/decide.js';

const call: RedisCall = { library: 'redis-ratelimit', operation: 'test', budgetMs: 15_000 };

/** What a script has done beside answering. */
export interface Deeds {
  /** How many commands that write it has sent. */
  readonly writes: number;
  /** Per key, in ms: the TTL that it has set, or -1, and the one that the key then had, -2 when there is no key. */
  readonly ttls: readonly { readonly setMs: number; readonly leftMs: number }[];
}

/**
 * Makes a script of the library run at a moment that the test chooses, and tell what it does. The text is the very same; only what it calls `redis` stands between it
 * and the server. The server's own clock goes on beside the driven one, so each key is made to stay afterwards.
 */
function driven<Result>(script: Script<Result>): Script<{ readonly result: Result; readonly deeds: Deeds }> {
  return defineScript({
    name: `driven ${script.name}`,
    keys: 'any',
    buffers: script.buffers ?? false,
    lua: `
      local server, clock, looks, writes, ttls = redis, { table.remove(ARGV), table.remove(ARGV) }, 0, 0, {}
      local writing = {
        SET = true, DEL = true, HSET = true, HDEL = true, ZADD = true, ZREM = true, ZREMRANGEBYSCORE = true, PEXPIRE = true,
      }
      local function watched(run)
        return function(name, key, ...)
          if name == 'TIME' then
            looks = looks + 1
            return clock
          end
          if writing[name] then writes = writes + 1 end
          if name == 'PEXPIRE' then ttls[key] = (...) end
          if name == 'SET' then ttls[key] = select(3, ...) end
          return run(name, key, ...)
        end
      end
      local redis = { call = watched(server.call), pcall = watched(server.pcall) }
      local function script()
        ${script.lua.replace(/^#!.*\n/, '')}
      end
      local reply, deeds = script(), {}
      for i, key in ipairs(KEYS) do
        deeds[2 * i - 1] = tonumber(ttls[key] or -1)
        deeds[2 * i] = server.call('PTTL', key)
        server.call('PERSIST', key)
      end
      return { reply, looks, writes, deeds }`,
    parse: (reply) => {
      const [own, looks, writes, deeds] = reply as [unknown, number, number, number[]];
      if (looks !== 1) throw new Error(`${script.name} has looked at the clock ${looks} times.`);
      const ttls = deeds.flatMap((setMs, index) => (index % 2 ? [] : [{ setMs, leftMs: deeds[index + 1] ?? -2 }]));
      return { result: script.parse(own), deeds: { writes, ttls } };
    },
  });
}

/** The arguments that tell a driven script the time. */
function clockOf(nowUs: bigint): ScriptArgument[] {
  return [String(nowUs % 1_000_000n), String(nowUs / 1_000_000n)];
}

/** One limit of a driven call. */
export interface DrivenCharge extends LimitKey {
  readonly cost: number;
  readonly enforce?: boolean;
  readonly blockUs?: number;
}

export interface DrivenCall {
  /** `false`: only look. @default true */
  readonly take?: boolean;
  /** Of a call that may take a slot. */
  readonly id?: string;
  /** So many equal calls in one. @default 1 */
  readonly times?: number;
}

export interface DrivenDecision extends Deeds {
  readonly outcomes: readonly Outcome[];
}

/** Decides one entry of calls, as the library would do at that moment. */
export async function decideAt(
  connection: RedisConnection,
  nowUs: bigint,
  charges: readonly DrivenCharge[],
  { take = true, id, times = 1 }: DrivenCall = {},
): Promise<DrivenDecision> {
  const kinds = [...new Set(charges.map(({ limit }) => algorithmOf(limit)))];
  const limits = charges.flatMap(({ limit, cost, enforce = true, blockUs = 0 }) => {
    const algorithm = algorithmOf(limit);
    return [algorithm.id, cost, enforce ? 1 : 0, blockUs, ...algorithm.parameters(limit)];
  });
  const plan = [1, take ? 1 : 0, id === undefined ? 0 : 1, 0, charges.length, ...limits];
  const { result, deeds } = await connection.scripts.run(
    call,
    driven(decideScript(kinds)),
    charges.map(({ key }) => key),
    [...plan, 1, times, ...(id === undefined ? [] : [id]), ...clockOf(nowUs)],
  );
  const [answer] = readAnswers(result, [{ calls: times, limits: charges.length }]);
  if (answer === undefined || 'failure' in answer) throw new Error(answer?.failure ?? 'no answer');
  return { outcomes: answer, ...deeds };
}

/** Amends as the library would do at that moment. @returns what it answers, and its deeds */
export async function amendAt(
  connection: RedisConnection,
  nowUs: bigint,
  limits: readonly LimitKey[],
  amendment: Amendment,
): Promise<Deeds & { readonly changes: readonly number[] }> {
  const scripts = new DrivenRunner(connection, nowUs);
  const changes = await runAmend({ scripts }, call, limits, amendment);
  return { changes, ...scripts.deeds };
}

/** Runs the scripts that it is given at one moment. */
class DrivenRunner extends ScriptRunner {
  deeds: Deeds = { writes: 0, ttls: [] };

  constructor(
    connection: RedisConnection,
    private readonly nowUs: bigint,
  ) {
    super(connection);
  }

  override async run<Result>(
    ofCaller: RedisCall,
    script: Script<Result>,
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): Promise<Result> {
    const { result, deeds } = await super.run(ofCaller, driven(script), keys, [...args, ...clockOf(this.nowUs)]);
    this.deeds = deeds;
    return result;
  }
}

/** @returns builds the keys of a subject that nobody else has */
export function newSubject(): (part?: string | number) => string {
  const subject = `driven ${process.env['JEST_WORKER_ID'] ?? ''} ${++subjects}`;
  return (part = 0) => `test:ratelimit:{${subject}}:${part}`;
}

let subjects = 0;

/** Where the time of most tests begins: far from anything round. */
export const someMomentUs = 1_795_000_000_123_457n;
