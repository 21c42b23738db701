import { Redis } from 'ioredis';

/**
 * The sliding window of `slidingWindow({ limit, window })`, as one writes it by hand when nothing but one limit on one key is wanted: the same buckets, the same
 * law, the server's clock, no write on a denial, and the expiry set once per bucket.
 *
 * KEYS  HASH  bucket number -> calls counted in it
 * ARGV  limit, length of a bucket (us), how many buckets cover the window
 * Returns  1 allowed | 0 denied, remaining, retry after (ms)
 */
const slidingWindowLua = `
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local limit, size, buckets = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
  local current = math.floor(now / size)
  local stored = redis.call('HGETALL', KEYS[1])
  local used, oldest, gone = 0, current, {}
  for i = 1, #stored, 2 do
    local bucket = tonumber(stored[i])
    if bucket < current - buckets then
      gone[#gone + 1] = stored[i]
    else
      used = used + stored[i + 1]
      if bucket < oldest then oldest = bucket end
    end
  end
  if used >= limit then return { 0, 0, math.ceil(((oldest + buckets + 1) * size - now) / 1000) } end
  if redis.call('HINCRBY', KEYS[1], string.format('%.0f', current), 1) == 1 then
    redis.call('PEXPIRE', KEYS[1], math.ceil(((current + buckets + 1) * size - now) / 1000))
    if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
  end
  return { 1, limit - used - 1, 0 }`;

const buckets = 10;

/**
 * A client and the digest of the script, with one EVALSHA per call.
 *
 * @param {import('ioredis').Redis} redis
 * @param {{ limit: number, windowMs: number }} law
 * @returns {Promise<(key: string) => Promise<{ allowed: boolean, remaining: number, retryAfterMs: number }>>}
 */
export async function rawSlidingWindow(redis, { limit, windowMs }) {
  const sha1 = await redis.script('LOAD', slidingWindowLua);
  const bucketUs = (windowMs * 1_000) / buckets;
  return async (key) => {
    const [allowed, remaining, retryAfterMs] = await redis.evalsha(sha1, 1, `raw:{${key}}`, limit, bucketUs, buckets);
    return { allowed: allowed === 1, remaining, retryAfterMs };
  };
}

export async function openRaw(url, law) {
  const redis = new Redis(url);
  return {
    consume: await rawSlidingWindow(redis, law),
    async close() {
      redis.disconnect();
    },
  };
}
