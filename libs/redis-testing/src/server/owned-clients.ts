import type { Cluster, Redis } from 'ioredis';

/** For clients that are owned: ioredis gives a cut connection 2 s to say goodbye, and keeps the process alive meanwhile. */
export const endingSoon = { disconnectTimeout: 100 } as const;

/** The clients that an object has handed out and closes with itself. */
export class OwnedClients {
  readonly #clients = new Set<Redis | Cluster>();

  own<T extends Redis | Cluster>(client: T): T {
    this.#clients.add(client);
    // Without a listener ioredis prints each failed reconnection. Tests break connections on purpose, and a command
    // that fails still rejects.
    client.on('error', () => undefined);
    client.once('end', () => this.#clients.delete(client));
    return client;
  }

  close(): void {
    for (const client of this.#clients) {
      if (client.isCluster) stopLookingAtSlots(client);
      client.disconnect();
    }
    this.#clients.clear();
  }
}

/** ioredis sets the timer of the next look when the last one has its answer, also when the client was closed meanwhile: it would keep the process alive for ever. */
function stopLookingAtSlots(cluster: Redis | Cluster): void {
  clearTimeout(Reflect.get(cluster, 'slotsTimer') as NodeJS.Timeout | undefined);
  Object.defineProperty(cluster, 'slotsTimer', { configurable: true, get: () => undefined, set: clearTimeout });
}
