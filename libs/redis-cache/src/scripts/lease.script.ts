import { defineScript } from '@redstart/redis-core';
import { eachLua, repliesOf } from './each.js';

/**
 * How a load may begin.
 *
 * - `open`: the lease is ours. `startedAtMicros` is the server's clock.
 * - `found`: what is stored is not what the caller has seen: it looks again.
 * - `busy`: another load holds the lease for `leaseMs` more, under `token`.
 * - `failed`: the last loader has thrown, and for `leaseMs` more none is to be run.
 */
export type LeaseReply =
  | { readonly kind: 'open'; readonly startedAtMicros: number }
  | { readonly kind: 'found' }
  | { readonly kind: 'busy'; readonly leaseMs: number; readonly token: string }
  | { readonly kind: 'failed'; readonly leaseMs: number };

/**
 * Opens loads, each unless another one of its value is under way.
 *
 * The lease is a sign and a token: `-` nobody waits for this load, `+` somebody does and is to be told of its end, `!` (without a token) the last loader has thrown.
 *
 * KEYS  of each load: value, lease
 * ARGV  leaseMs, then of each load: token, the first 30 bytes of what the caller has seen under the value, 'w' to wait (or '') and '!' to run a loader though the last one
 *       has thrown (or '')
 * Returns  {micros, then of each load: 1 open · 0 found · {'busy', ms, token} · {'failed', ms} · {'error'} where it can't be told together with others (nothing was changed)}
 */
export const leaseScript = defineScript<readonly (LeaseReply | undefined)[]>({
  name: 'cache:lease',
  keys: 'any',
  lua: `
    local time = redis.call('TIME')
    local function one(at)
      local value, lease = KEYS[2 * at - 1], KEYS[2 * at]
      local token, seen, wish = ARGV[3 * at - 1], ARGV[3 * at], ARGV[3 * at + 1]
      if redis.call('GETRANGE', value, 0, 29) ~= seen then return 0 end
      local held = redis.call('SET', lease, '-' .. token, 'PX', ARGV[1], 'NX', 'GET')
      if not held then return 1 end
      local sign = string.sub(held, 1, 1)
      if sign == '!' then
        if string.sub(wish, -1) ~= '!' then return { 'failed', redis.call('PTTL', lease) } end
        redis.call('SET', lease, '-' .. token, 'PX', ARGV[1])
        return 1
      end
      local holder = string.sub(held, 2)
      if sign == '-' and string.sub(wish, 1, 1) == 'w' then redis.call('SET', lease, '+' .. holder, 'KEEPTTL') end
      return { 'busy', redis.call('PTTL', lease), holder }
    end
    ${eachLua}
    table.insert(replies, 1, string.format('%.0f', time[1] * 1000000 + time[2]))
    return replies`,
  parse: (reply) => {
    const [micros, ...replies] = repliesOf(reply);
    const open = { kind: 'open', startedAtMicros: Number(micros) } as const;
    return replies.map((one) => parseOne(one, open));
  },
});

const found = { kind: 'found' } as const;

function parseOne(reply: unknown, open: LeaseReply): LeaseReply | undefined {
  if (reply === 1) return open;
  if (reply === 0) return found;
  const [kind, figure, token] = repliesOf(reply);
  switch (kind) {
    case 'busy':
      return { kind, leaseMs: Math.max(0, Number(figure)), token: String(token) };
    case 'failed':
      return { kind, leaseMs: Math.max(0, Number(figure)) };
    case 'error':
      return undefined;
    default:
      throw new TypeError('cache:lease: unexpected reply');
  }
}
