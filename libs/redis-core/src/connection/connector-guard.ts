import type { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';

/** What opens the sockets of an ioredis client: to a given address, or to where the sentinels say. */
interface Connector {
  connect(...args: unknown[]): Promise<EventEmitter>;
  /** Of the connector by sentinels alone. */
  connectToSentinel?(endpoint: unknown, options?: object): Redis;
}

/** With this message, and no other mark, ioredis says that an attempt to connect was called off. */
const calledOff = 'Connection is closed.';

/**
 * Closes gaps of how ioredis connects, each of which takes a client away for good, or the whole process:
 *
 * - It listens to the first `error` of a socket only, and a socket may have two: a TLS server sends an alert to a client that has just
 *   refused its certificate. An `error` event without a listener would end the process.
 * - When the sentinels announce a failover while the client is on its way to the old master, ioredis calls the attempt off, takes that for
 *   the wish of its user, and ends. Here it starts over.
 * - Its connections to the sentinels have the first gap too, print their errors, and after a reconnect subscribe with a promise that nobody
 *   catches.
 *
 * @returns takes everything off again
 */
export function guardConnector(redis: Redis): () => void {
  const connector: unknown = Reflect.get(redis, 'connector');
  if (!isConnector(connector)) return () => undefined;
  const connect = connector.connect.bind(connector);
  connector.connect = async (...args) => {
    const socket = await untilNotCalledOff(redis, () => connect(...args));
    return socket.on('error', ignoreLater);
  };
  const connectToSentinel = connector.connectToSentinel?.bind(connector);
  if (connectToSentinel !== undefined) {
    connector.connectToSentinel = (endpoint, options) => {
      // Lazy, so that it does not connect before its own connector is guarded: its first command connects it.
      const sentinel = connectToSentinel(endpoint, { ...options, lazyConnect: true, autoResubscribe: false });
      guardConnector(sentinel);
      sentinel.on('error', ignoreLater);
      // With options of its own it is there to hear of failovers, and reconnects; without, to ask for the master once.
      if (options !== undefined) resubscribe(sentinel);
      return sentinel;
    };
  }
  return () => {
    Reflect.deleteProperty(connector, 'connect');
    Reflect.deleteProperty(connector, 'connectToSentinel');
  };
}

function resubscribe(sentinel: Redis): void {
  sentinel.once('close', () => {
    sentinel.on('ready', () => {
      sentinel.subscribe('+switch-master').catch(() => {
        sentinel.disconnect(true); // It hangs, or has gone again: the next connection may do better.
      });
    });
  });
}

/** Each further attempt needs a further announcement of the sentinels, so this ends. */
async function untilNotCalledOff<T>(redis: Redis, connect: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      const byUser = Reflect.get(redis, 'manuallyClosing') === true;
      if (byUser || !(error instanceof Error) || error.message !== calledOff) throw error;
    }
  }
}

function ignoreLater(): void {
  // The first error is the client's `error` event; it has closed the socket. A sentinel that can't be asked is passed over.
}

function isConnector(value: unknown): value is Connector {
  return typeof value === 'object' && value !== null && 'connect' in value && typeof value.connect === 'function';
}
