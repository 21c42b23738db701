/**
 * Until when a lease is surely ours, on our own clock.
 *
 * It is counted from the moment at which the command was sent, not answered, and less a margin for clocks that run at different speeds:
 * 1 % and 2 ms, as Redlock has it.
 */
export function leaseEnd(sentAt: number, ttlMs: number): number {
  return sentAt + ttlMs - (ttlMs * 0.01 + 2);
}
