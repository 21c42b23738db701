import { defineScript, type RedisCall, type RedisConnection } from '@redstart/redis-core';
import { algorithmOf, type Limit } from '../../src/algorithms/algorithms.js';
import { decideScript, readAnswers, type Outcome } from '../../src/scripts/decide.js';

const call: RedisCall = { library: 'redis-ratelimit', operation: 'test', budgetMs: 10_000 };

/** One limit of a driven call. */
export interface DrivenCharge {
  readonly key: string;
  readonly limit: Limit;
  readonly cost: number;
  readonly enforce?: boolean;
  readonly blockUs?: number;
}

/** What the script said, and how long each key would have lived, in ms (-2: it is not there). */
export interface DrivenOutcome extends Outcome {
  readonly ttlsMs: readonly number[];
}

/**
 * Runs the very script of the library at a moment that the test chooses: its clock is read from an argument, and since the server's own clock stands beside it,
 * each key's TTL is told and then taken off.
 */
export async function decideAt(
  connection: RedisConnection,
  nowUs: number,
  charges: readonly DrivenCharge[],
  { take = true, id = '' }: { take?: boolean; id?: string } = {},
): Promise<DrivenOutcome> {
  const kinds = [...new Set(charges.map(({ limit }) => algorithmOf(limit)))];
  const { lua } = decideScript(kinds);
  const clock = "redis.call('TIME')";
  if (lua.split(clock).length !== 2) throw new Error('The script reads the clock once.');
  const driven = defineScript({
    name: 'test:decide',
    keys: 'any',
    lua: `
      local function decide()
        ${lua.replace(clock, '{ table.remove(ARGV), table.remove(ARGV) }')}
      end
      local reply, ttls = decide(), {}
      for i, key in ipairs(KEYS) do
        ttls[i] = redis.call('PTTL', key)
        redis.call('PERSIST', key)
      end
      return { reply, ttls }`,
    parse: (reply) => reply as [unknown[], number[]],
  });
  const limits = charges.flatMap(({ limit, cost, enforce = true, blockUs = 0 }) => {
    const algorithm = algorithmOf(limit);
    return [algorithm.id, cost, enforce ? 1 : 0, blockUs, ...algorithm.parameters(limit)];
  });
  const seconds = Math.floor(nowUs / 1_000_000);
  const [reply, ttlsMs] = await connection.scripts.run(
    call,
    driven,
    charges.map(({ key }) => key),
    [1, take ? 1 : 0, 1, 0, charges.length, ...limits, 1, 1, id, nowUs - seconds * 1_000_000, seconds],
  );
  const [answer] = readAnswers(reply, [{ calls: 1, limits: charges.length }]);
  if (answer === undefined || 'failure' in answer) throw new Error(answer?.failure ?? 'no answer');
  const [outcome] = answer;
  if (outcome === undefined) throw new Error('no outcome');
  return { ...outcome, ttlsMs };
}
