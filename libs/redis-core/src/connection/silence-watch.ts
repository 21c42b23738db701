import type { Redis } from 'ioredis';

/**
 * Cuts a connection that has been silent for `ms` although replies are due: a half-open socket, a stalled server. The client then
 * reconnects, and what was in flight rejects.
 *
 * One background timer per connection. The option `socketTimeout` of ioredis does the same with a timer and a listener per round trip,
 * which is 8 % of a GET, one at a time.
 *
 * @returns ends the watch
 */
export function watchForSilence(redis: Redis, ms: number): () => void {
  let heard = -1;
  let silentSince: number | undefined;
  const look = () => {
    const { stream } = redis;
    const waiting = redis.status === 'ready' && redis.commandQueue.length > 0;
    if (!waiting || stream.bytesRead !== heard) {
      heard = waiting ? stream.bytesRead : -1;
      silentSince = waiting ? performance.now() : undefined;
      return;
    }
    if (silentSince === undefined || performance.now() - silentSince < ms) return;
    silentSince = undefined;
    stream.destroy(new Error(`Socket timeout: no data for ${ms} ms although replies are due.`));
  };
  const timer = setInterval(look, Math.max(10, ms / 4)).unref();
  const stop = () => {
    clearInterval(timer);
  };
  redis.once('end', stop);
  return stop;
}
