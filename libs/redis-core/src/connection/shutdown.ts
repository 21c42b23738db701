import { isCluster } from './cluster.js';
import type { RedisClient } from '../redis.options.js';

/**
 * Says goodbye (`QUIT` lets pending replies arrive), and cuts the socket when that takes longer than `ms`. Never rejects, and never takes
 * longer than twice `ms`. What is still pending afterwards rejects.
 */
export async function closeClient(client: RedisClient, ms: number): Promise<void> {
  stopLookingAtSlots(client);
  if (client.status === 'end') return;
  const ended = new Promise<void>((resolve) => {
    client.once('end', resolve);
  });
  if (client.status === 'ready') {
    const quit = client.quit().then(
      () => ended,
      () => undefined, // The connection broke meanwhile, which closes it as well.
    );
    await within(ms, quit);
  }
  if (!hasEnded(client)) {
    cutClient(client);
    await within(ms, ended);
  } else if (!isCluster(client)) {
    // A clean QUIT leaves the failover detector's connections to the sentinels open; disconnecting closes them.
    client.disconnect();
  }
}

/**
 * Cuts a client at once; what is pending rejects.
 *
 * ioredis never ends a client that it is about to reconnect: no `end`, and commands in its offline queue would stay pending for ever.
 */
export function cutClient(client: RedisClient): void {
  stopLookingAtSlots(client);
  const between = client.status === 'reconnecting' || client.status === 'close';
  client.disconnect();
  if (!between) return;
  flushQueue(client, new Error('Connection is closed.'));
  // From here on sendCommand rejects, as it does with a client that has ended by itself.
  client.status = 'end';
  client.emit('end');
}

/**
 * ioredis sets the timer of a Cluster's next look at the slots when the last look has its answer, also when the client was closed meanwhile: it would go on looking, and
 * keep the process alive for ever.
 */
function stopLookingAtSlots(client: RedisClient): void {
  if (!isCluster(client)) return;
  clearTimeout(Reflect.get(client, 'slotsTimer') as NodeJS.Timeout | undefined);
  Object.defineProperty(client, 'slotsTimer', { configurable: true, get: () => undefined, set: clearTimeout });
}

/** `flushQueue` is public at run time, in both majors of ioredis and both kinds of client, but not in the types. */
function flushQueue(client: object, error: Error): void {
  if ('flushQueue' in client && typeof client.flushQueue === 'function')
    Reflect.apply(client.flushQueue, client, [error]);
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

function hasEnded(client: RedisClient): boolean {
  return client.status === 'end';
}
