import { defineScript } from '@redstart/redis-core';
import { delayedMarker } from './due-time.js';
import { groupsInLua } from './lua-groups.js';

/** What became of a publication. */
export interface Publication {
  /**
   * The id of the entry, also of the earlier one when this is a duplicate. Of a delayed message the id to cancel and reschedule it by, since it has no entry yet:
   * its `messageId`, or one that was made for it.
   */
  readonly id: string;
  readonly duplicate: boolean;
  /** When a delayed message is due, by the clock of Redis. Not there for any other, nor for a duplicate of one that has been added to the stream meanwhile. */
  readonly dueAt?: Date;
}

/** A publication, and what it cost others. */
export interface PublishReply {
  readonly publication: Publication;
  /** Entries that `hardMaxLen` dropped although not every group had finished them. */
  readonly lost: number;
}

/**
 * Adds an entry, unless its message id was published within the window; and keeps the stream within its cap.
 *
 * KEYS  stream, [published]
 * ARGV  messageId, windowMs, hardMaxLen or -1, field, value, ...
 * Returns  { id, 0, lost } added · { id of the earlier one, or the message id where that is or was delayed, 1, 0 } duplicate (nothing was changed)
 */
export const publishScript = defineScript<PublishReply>({
  name: 'streams:publish',
  keys: 'any',
  lua: `
    local earlier = KEYS[2] and redis.call('GET', KEYS[2])
    if earlier then return {earlier == '${delayedMarker}' and ARGV[1] or earlier, 1, 0} end
    local add = {'XADD', KEYS[1], '*'}
    for i = 4, #ARGV do add[#add + 1] = ARGV[i] end
    local id = redis.call(unpack(add))
    if KEYS[2] then redis.call('SET', KEYS[2], id, 'PX', ARGV[2]) end
    if ARGV[3] == '-1' then return {id, 0, 0} end
    ${groupsInLua}
    -- It has been added by now, whatever keeps the cap from being kept.
    local kept, lost = pcall(dropTo, KEYS[1], tonumber(ARGV[3]))
    return {id, 0, kept and lost or 0}
  `,
  parse: (reply) => {
    const [id, duplicate, lost] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return { publication: { id: String(id), duplicate: duplicate === 1 }, lost: Number(lost) };
  },
});
