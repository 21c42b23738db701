import type { Redis } from 'ioredis';
import { newOwner, newToken } from '../../src/owner.js';

/** What a script told a waiter that it gave something to. */
export interface Told {
  readonly owner: string;
  readonly fence: number;
}

/**
 * A process that listens, and one that does not: a killed one, or one whose subscription is broken. So a test can run the scripts for many owners
 * itself, and know what each of them was told.
 */
export class Listener {
  readonly told: Told[] = [];
  readonly #mailbox = `here:1:${newToken().slice(0, 8)}`;
  readonly #deafMailbox = `gone:2:${newToken().slice(0, 8)}`;

  private constructor(private readonly client: Redis) {}

  static async start(client: Redis, wake: string): Promise<Listener> {
    const listener = new Listener(client);
    client.on('message', (_channel: string, message: string) => {
      const [owner = '', fence] = message.split(' ');
      listener.told.push({ owner, fence: Number(fence) });
    });
    await client.subscribe(wake + listener.#mailbox);
    return listener;
  }

  newOwner(hears: boolean): string {
    return newOwner(newToken(), hears ? this.#mailbox : this.#deafMailbox, undefined);
  }

  hears(owner: string): boolean {
    return owner.endsWith(this.#mailbox);
  }

  /** Everything that was published until now, in order. */
  async takeTold(): Promise<Told[]> {
    await this.client.ping();
    return this.told.splice(0);
  }
}
