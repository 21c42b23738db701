import { defineScript } from '@redstart/redis-core';

/** What became of a publication. */
export interface Publication {
  /** The id of the entry, also of the earlier one when this is a duplicate. */
  readonly id: string;
  readonly duplicate: boolean;
}

/**
 * Adds an entry, unless its message id was published within the window.
 *
 * KEYS  stream, published
 * ARGV  windowMs, maxLen (0: no trimming), field, value, ...
 * Returns  { id, 0 } added · { id of the earlier one, 1 } duplicate (nothing was changed)
 */
export const publishScript = defineScript<Publication>({
  name: 'streams:publish',
  keys: 2,
  lua: `
    local earlier = redis.call('GET', KEYS[2])
    if earlier then return {earlier, 1} end
    local add = {'XADD', KEYS[1]}
    if ARGV[2] ~= '0' then
      add[3], add[4], add[5] = 'MAXLEN', '~', ARGV[2]
    end
    add[#add + 1] = '*'
    for i = 3, #ARGV do add[#add + 1] = ARGV[i] end
    local id = redis.call(unpack(add))
    redis.call('SET', KEYS[2], id, 'PX', ARGV[1])
    return {id, 0}
  `,
  parse: (reply) => {
    const [id, duplicate] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return { id: String(id), duplicate: duplicate === 1 };
  },
});
