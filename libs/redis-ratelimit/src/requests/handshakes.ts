import { IncomingMessage } from 'node:http';

/** The request that opened each connection. By the socket, so it is forgotten with it, and a socket belongs to one application. */
const handshakes = new WeakMap<object, IncomingMessage>();
const watched = new WeakSet<object>();

/**
 * Has a gateway remember the handshakes of its connections. Sockets of `ws` don't know theirs: it is told once, to `handleConnection`, which Nest calls with the
 * socket and the request. Those of socket.io carry it along.
 *
 * Call it before Nest connects the gateway to its server.
 */
export function rememberHandshakes(gateway: object): void {
  if (watched.has(gateway)) return;
  watched.add(gateway);
  const original: unknown = Reflect.get(gateway, 'handleConnection');
  Object.defineProperty(gateway, 'handleConnection', {
    configurable: true,
    writable: true,
    value: function handleConnection(this: unknown, ...args: unknown[]): unknown {
      const [client, request] = args;
      if (typeof client === 'object' && client !== null && request instanceof IncomingMessage) {
        handshakes.set(client, request);
      }
      return typeof original === 'function' ? Reflect.apply(original, this, args) : undefined;
    },
  });
}

export function handshakeOf(client: unknown): IncomingMessage | undefined {
  return typeof client === 'object' && client !== null ? handshakes.get(client) : undefined;
}
