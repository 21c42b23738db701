import {
  checkInteger,
  checkKnownKeys,
  checkText,
  defineScript,
  durationMs,
  OptionsError,
  type Duration,
  type RedisConnection,
  type ScriptArgument,
} from '@redstart/redis-core';
import { StaleTokenError } from './fencing.errors.js';
import { fenceKey } from './fence-key.js';

export interface FencedScriptDefinition<Args extends unknown[], Result> {
  /** For telemetry and errors, e.g. `seat-map:save`. */
  readonly name: string;
  /** How many keys it takes. They share a hash tag; the first one names the resource, and its fence. @default 1 */
  readonly keys?: number;
  /**
   * What is done when the token is not stale: the body of a Lua function. `KEYS` and `ARGV` are those of the call, every key in `KEYS`; what it returns is passed to
   * `parse`.
   */
  readonly lua: string;
  /** Makes `ARGV` of the arguments of a call. Data of users belongs here, never in the text. */
  readonly args: (...args: Args) => readonly ScriptArgument[];
  /** Checks what Redis returned and gives it its type. */
  readonly parse: (reply: unknown) => Result;
  /**
   * For how long the highest token is remembered after the last write. A holder that stands still for longer than this isn't recognised any more, so take more than any
   * process sleeps. @default '1d'
   */
  readonly fenceTtl?: Duration;
  /** How long one call may take. @default '1s' */
  readonly timeout?: Duration;
}

/** A script that a holder who was overtaken can't run: see {@link defineFencedScript}. */
export interface FencedScript<Args extends unknown[], Result> {
  /**
   * @param token `lock.fencingToken` of the lock that guards this resource: always the same one, since tokens of different locks say nothing about each other
   * @param keys the whole Redis keys
   * @throws StaleTokenError when a holder with a higher token was there before: nothing was written · InvalidKeyError for keys without a common hash tag ·
   *   RedisUnavailableError; after `outcome: 'unknown'` it may be repeated with the same token, if the script may be
   */
  run(connection: RedisConnection, token: number, keys: readonly string[], ...args: Args): Promise<Result>;
}

const known = ['name', 'keys', 'lua', 'args', 'parse', 'fenceTtl', 'timeout'];

/**
 * A write to Redis that is refused when somebody with a higher fencing token has written before: what makes a lock safe against a holder that slept
 * through its lease and does not know it yet.
 *
 * The token is compared with the highest one seen, which stands beside the data, and both are written by the one script. Nobody comes in between.
 *
 * KEYS  those of the call, fence
 * ARGV  those of the call, token, fenceTtl in ms
 * Returns  {1, what the body returns} · {0, highest token seen} stale (nothing was changed)
 *
 * @throws OptionsError for a wrong definition
 * @example
 * const saveReport = defineFencedScript({
 *   name: 'report:save',
 *   lua: `redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])`,
 *   args: (report: Report) => [JSON.stringify(report), 3_600_000],
 *   parse: () => undefined,
 * });
 * await locks.withLock(['report', id], {}, async (lock) => {
 *   const report = await this.build(id);
 *   await saveReport.run(connection, lock.fencingToken, [`shop:report:{${id}}`], report);
 * });
 * @see one EVALSHA: GET, SET, and the commands of the body
 */
export function defineFencedScript<Args extends unknown[], Result>(
  definition: FencedScriptDefinition<Args, Result>,
): FencedScript<Args, Result> {
  const where = 'defineFencedScript(definition)';
  checkKnownKeys(definition, known, where);
  const { name, keys: keyCount = 1, lua, args: toArguments, parse, fenceTtl = '1d', timeout = '1s' } = definition;
  const fenceTtlMs = durationMs(fenceTtl, `${where}.fenceTtl`, { min: 1_000 });
  const call = { library: 'redis-lock', operation: `fenced.${checkText(name, `${where}.name`)}` };
  const budgetMs = durationMs(timeout, `${where}.timeout`, { min: 1 });
  const script = defineScript<{ readonly seen: number } | { readonly result: Result }>({
    name: `fenced:${name}`,
    keys: checkInteger(keyCount, `${where}.keys`, 1, 100) + 1,
    lua: fenced(checkText(lua, `${where}.lua`)),
    parse: (reply) => {
      const [passed, value] = reply as readonly unknown[];
      return passed === 1 ? { result: parse(value) } : { seen: Number(value) };
    },
  });
  return Object.freeze({
    async run(connection: RedisConnection, token: number, keys: readonly string[], ...args: Args): Promise<Result> {
      const [resource] = keys;
      if (resource === undefined || keys.length !== keyCount) {
        throw new OptionsError(`${name}.run(keys)`, `got ${keys.length}; expected ${keyCount}.`);
      }
      if (!Number.isSafeInteger(token) || token < 1) {
        throw new OptionsError(`${name}.run(token)`, `${token} is no fencing token; pass lock.fencingToken.`);
      }
      const argv = [...toArguments(...args), token, fenceTtlMs];
      const outcome = await connection.scripts.run({ ...call, budgetMs }, script, [...keys, fenceKey(keys)], argv);
      if ('seen' in outcome) throw new StaleTokenError(resource, token, outcome.seen);
      return outcome.result;
    },
  });
}

/** The token is raised before the body runs, so a body that fails half way has not been done under a token that nobody knows of. */
function fenced(body: string): string {
  return `
    local function write()
      ${body}
    end

    local fence, ttlMs, token = table.remove(KEYS), table.remove(ARGV), table.remove(ARGV)
    local seen = redis.call('GET', fence)
    if seen and (tonumber(seen) or 0) > tonumber(token) then return { 0, seen } end
    redis.call('SET', fence, token, 'PX', ttlMs)
    local result = write()
    if type(result) == 'table' and result.err then return result end
    return { 1, result }`;
}
