import { RedisUnavailableError } from '@redstart/redis-core';

/**
 * Until when a lease is surely ours, on our own clock.
 *
 * It is counted from the moment at which the command was sent, not answered, and less a margin for clocks that run at different speeds:
 * 1 % and 2 ms, as Redlock has it.
 */
export function leaseEnd(sentAt: number, ttlMs: number): number {
  return sentAt + ttlMs - (ttlMs * 0.01 + 2);
}

/** Whether enough of a lease is left to begin anything under it. */
export function isWorthHaving(leftMs: number, ttlMs: number): boolean {
  return leftMs >= ttlMs / 4;
}

/** For a grant whose answer came when most of its lease was over. */
export function tooLate(key: string, ttlMs: number): RedisUnavailableError {
  return new RedisUnavailableError(
    `lock.acquire: "${key}" was granted, but so late that little of its ${ttlMs} ms was left. Raise ttl, or look for what stalls this process or Redis.`,
    'unknown',
  );
}
