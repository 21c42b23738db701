import { defineScript } from '@redstart/redis-core';
import { notOurs, standingInLua, type NotOurs } from './lua-standing.js';

/** `committed`: the commands were carried out, now or when its reply was lost */
export type CommitOutcome = 'committed' | NotOurs;

/**
 * Carries out commands of a handler and acknowledges its entry, in one step, if its consumer still owns it. Noted in the inbox, so that a call whose reply was lost can be repeated.
 * Goes on when memory is full: the message was taken in before, and without its effect it would be tried until it is a dead letter.
 *
 * KEYS  stream, inbox, key of a command, ...
 * ARGV  group, consumer, id, token, ttlMs, 1 when the entry itself goes (it is one of the retry stream), 1 when it is known to be gone and ours, then for each command: number of its parts, name, argument, ...
 * Returns  1 committed · 0 not owned any more · -1 gone (nothing was changed)
 * Errors  that of the first command which fails: those before it were carried out, as in MULTI; it and those after it were not, and the entry was not acknowledged
 */
export const commitScript = defineScript<CommitOutcome>({
  name: 'streams:commit',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    ${standingInLua}

    local note = redis.call('GET', KEYS[2])
    if note == 'd:' .. ARGV[4] then return 1 end
    if ARGV[7] == '0' then
      local found = standing(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
      if found ~= 'ours' then return found == 'gone' and -1 or 0 end
    elseif note and string.sub(note, 1, 2) == 'd:' then
      return 0
    end
    local at = 8
    while at <= #ARGV do
      local parts = tonumber(ARGV[at])
      local reply = redis.pcall(unpack(ARGV, at + 1, at + parts))
      if type(reply) == 'table' and reply.err then return reply end
      at = at + parts + 1
    end
    redis.call('SET', KEYS[2], 'd:' .. ARGV[4], 'PX', ARGV[5])
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
    if ARGV[6] == '1' then redis.call('XDEL', KEYS[1], ARGV[3]) end
    return 1
  `,
  parse: (reply) => notOurs(reply) ?? 'committed',
});
