import { createHash } from 'node:crypto';

/** Flags of Redis 7 scripts: https://redis.io/docs/latest/develop/programmability/lua-api/#script_flags */
export type ScriptFlag = 'allow-oom' | 'no-writes' | 'allow-stale' | 'allow-cross-slot-keys';

export interface ScriptDefinition<Result> {
  /** For telemetry and errors, e.g. `lock:release`. */
  readonly name: string;
  /** How many keys it takes; `any` when it goes by `#KEYS`. All of them must hash to one Cluster slot. */
  readonly keys: number | 'any';
  readonly flags?: readonly ScriptFlag[];
  /** The text. Data of users arrives in ARGV, never in the text. */
  readonly lua: string;
  /** Whether strings in the reply arrive as Buffers, for values that are not text. @default false */
  readonly buffers?: boolean;
  /** Checks the reply and gives it its type. */
  readonly parse: (reply: unknown) => Result;
}

/** A Lua script, ready to be run by a {@link ScriptRunner}. */
export interface Script<Result> extends ScriptDefinition<Result> {
  readonly sha1: string;
}

export type ScriptArgument = string | number | Buffer;

/**
 * Describes a Lua script once, beside its typed call.
 *
 * @example
 * export const releaseScript = defineScript({
 *   name: 'lock:release', keys: 1, flags: ['allow-oom'],
 *   lua: `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`,
 *   parse: (reply) => reply === 1,
 * });
 */
export function defineScript<Result>(definition: ScriptDefinition<Result>): Script<Result> {
  const { flags = [] } = definition;
  const shebang = flags.length > 0 ? `#!lua flags=${flags.join(',')}\n` : '';
  const lua = shebang + definition.lua.trim();
  return Object.freeze({ ...definition, lua, sha1: createHash('sha1').update(lua).digest('hex') });
}
