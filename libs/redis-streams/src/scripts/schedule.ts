import { defineScript } from '@redstart/redis-core';
import { delayedMarker, readDueTime } from './due-time.js';

/** What became of a message that is to be delayed. */
export interface Schedule {
  /** Nothing was scheduled: the id is waiting already, or its message was published a while ago. */
  readonly duplicate: boolean;
  /** How long it still has to wait; `undefined` when it is not waiting, because it was published. */
  readonly waitMs: number | undefined;
  /** When it is due, in milliseconds of the server's clock. */
  readonly dueAtMs: number | undefined;
  /** Of a duplicate that was published: the id of its entry, unless it had been delayed as well. */
  readonly entryId: string | undefined;
}

/**
 * Puts a message into a delay queue, once.
 *
 * KEYS  due, delayed, [published: with it the message is refused when that remembers it, and remembered there until windowMs after it is due]
 * ARGV  id, in | at, ms, windowMs, field, value, ...
 * Returns  { 0, wait ms, due ms } scheduled · { 1, wait ms or -1, due ms, entry id or '' } duplicate (nothing was changed)
 */
export const scheduleScript = defineScript<Schedule>({
  name: 'streams:schedule',
  keys: 'any',
  lua: `
    ${readDueTime('ARGV[2]', 'ARGV[3]')}
    local waiting = redis.call('ZSCORE', KEYS[1], ARGV[1])
    if waiting then
      return {1, string.format('%.0f', math.max(0, waiting - now)), string.format('%.0f', waiting), ''}
    end
    local published = KEYS[3] and redis.call('GET', KEYS[3])
    if published then
      return {1, '-1', '-1', published == '${delayedMarker}' and '' or published}
    end
    local fields = {}
    for i = 5, #ARGV do fields[#fields + 1] = ARGV[i] end
    local wait = math.max(0, due - now)
    redis.call('HSET', KEYS[2], ARGV[1], cmsgpack.pack(fields))
    redis.call('ZADD', KEYS[1], string.format('%.0f', due), ARGV[1])
    if KEYS[3] then
      redis.call('SET', KEYS[3], '${delayedMarker}', 'PX', string.format('%.0f', wait + ARGV[4]))
    end
    return {0, string.format('%.0f', wait), string.format('%.0f', due), ''}
  `,
  parse: (reply) => {
    const [duplicate, waitMs, dueAtMs, entryId] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return {
      duplicate: duplicate === 1,
      waitMs: known(waitMs),
      dueAtMs: known(dueAtMs),
      entryId: entryId === '' ? undefined : String(entryId),
    };
  },
});

function known(ms: unknown): number | undefined {
  return Number(ms) < 0 ? undefined : Number(ms);
}
