import { defineScript } from '@redstart/redis-core';
import { standingInLua } from './lua-standing.js';

/** Those that could not be renewed. */
export interface NotRenewed {
  /** Another consumer's, or settled. */
  readonly lost: readonly string[];
  /** Not in the stream, and pending no more. */
  readonly gone: readonly string[];
}

/**
 * Renews the entries that a consumer still owns. A plain XCLAIM would steal back what another one has taken over meanwhile, so each is checked first.
 *
 * KEYS  stream
 * ARGV  group, consumer, id, ...
 * Returns  { ids that are another's or settled (nothing was changed about them), ids that are gone, and pending no more }
 */
export const renewScript = defineScript<NotRenewed>({
  name: 'streams:renew',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    ${standingInLua}

    local lost, gone = {}, {}
    for i = 3, #ARGV do
      local found = standing(KEYS[1], ARGV[1], ARGV[2], ARGV[i])
      -- What is not in the stream any more is not claimed, and pending no more.
      if found == 'ours' and not redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', 0, 'JUSTID')[1] then found = 'gone' end
      if found ~= 'ours' then
        local list = found == 'gone' and gone or lost
        list[#list + 1] = ARGV[i]
      end
    end
    return {lost, gone}
  `,
  parse: (reply) => {
    const [lost, gone] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return { lost: ids(lost), gone: ids(gone) };
  },
});

function ids(list: unknown): string[] {
  return Array.isArray(list) ? list.map(String) : [];
}
