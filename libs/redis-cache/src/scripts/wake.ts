import type { EntryKeys } from '../keys.js';

/** Where the end of a load is told, and how: with sharded Pub/Sub in the slot of its value. */
export interface WakeChannel {
  readonly command: 'PUBLISH' | 'SPUBLISH';
  readonly channel: string;
}

/** Says where the end of a load is told. */
export interface WakeChannels {
  /** @throws RedisUnavailableError when that is not known, and not to be found out in time · RedisCommandError */
  channel(at: EntryKeys, leftMs: number): Promise<WakeChannel>;
  /** Where nobody has to be asked. */
  known(at: EntryKeys): WakeChannel | undefined;
}

/**
 * How a load has ended, as the processes hear it that wait for it.
 *
 * `stored`: the value is there. `unstored`: there is none, and the next load may end the same way. `failed`: the loader has thrown. `gone`: somebody has
 * changed or deleted the value meanwhile.
 */
export type LoadEnd = 'stored' | 'unstored' | 'failed' | 'gone';

/** A Lua function that tells of the end of a load of a value, by default of that of the first key. */
export function tellLua(firstArgument: number): string {
  return `
    local function tell(how, value)
      redis.call(ARGV[${firstArgument}], ARGV[${firstArgument + 1}], how .. ' ' .. (value or KEYS[1]))
    end`;
}

export function tellArguments({ command, channel }: WakeChannel): [string, string] {
  return [command, channel];
}
