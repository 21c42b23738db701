import { cutClient } from '../connection/shutdown.js';
import type { RedisClient } from '../redis.options.js';

/** What a link tells the hub. */
export interface LinkEvents {
  onMessage(channel: string, message: string): void;
  /** The link listens again, after it had been deaf: messages on these channels may have been missed. */
  onGap(channels: readonly string[]): void;
  /** The server refuses a channel, e.g. since its slot lives elsewhere now. */
  onRefused(channel: string, error: Error): void;
}

interface Waiting {
  readonly channel: string;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/**
 * One subscriber connection and the channels it carries: one link for a server or Sentinel, one per master of a Cluster.
 *
 * - *deaf*: from the start, and from each `close` of the socket until the channels are subscribed again.
 * - *listening*: after every `ready`, once the server has confirmed all channels. Coming here a second time is a gap.
 * - *closed*: by {@link close}, for good.
 *
 * Nothing is sent before `ready`: ioredis 5 writes a SUBSCRIBE already while it is still asking the server how it is, may not go on asking
 * as a subscriber, and never becomes ready. Its own resubscription is off: its promises are nobody's to catch, and it can't tell when it is done.
 */
export class SubscriberLink {
  readonly #channels = new Set<string>();
  readonly #commands: { subscribe: 'subscribe' | 'ssubscribe'; unsubscribe: 'unsubscribe' | 'sunsubscribe' };
  /** Who waits for a deaf link to listen. */
  #waiting: Waiting[] = [];
  #listenedBefore = false;

  constructor(
    private readonly client: RedisClient,
    private readonly events: LinkEvents,
    sharded: boolean,
  ) {
    this.#commands = sharded
      ? { subscribe: 'ssubscribe', unsubscribe: 'sunsubscribe' }
      : { subscribe: 'subscribe', unsubscribe: 'unsubscribe' };
    client.on(sharded ? 'smessage' : 'message', (channel: string, message: string) => {
      events.onMessage(channel, message);
    });
    client.on('ready', () => {
      void this.#listen();
    });
    client.on('end', () => {
      this.#disappoint(this.#waiting.splice(0), new Error('the connection has ended'));
    });
    if (client.status === 'wait') {
      client.connect().catch(() => {
        // The client goes on trying; `ready` tells when it got there.
      });
    }
  }

  get size(): number {
    return this.#channels.size;
  }

  /** Adds a channel. Resolves when the server has confirmed it; while the link is deaf, when it listens again. */
  async add(channel: string): Promise<void> {
    this.#channels.add(channel);
    if (this.client.status === 'ready') await this.#subscribe(channel);
    else if (this.client.status === 'end') throw new Error('the connection has ended');
    else await new Promise<void>((resolve, reject) => this.#waiting.push({ channel, resolve, reject }));
  }

  /** Waits for no answer: a server that hangs must not keep anybody who only wants to leave. */
  remove(channel: string): void {
    if (!this.#channels.delete(channel)) return;
    const waiting = this.#waiting.filter((one) => one.channel === channel);
    this.#waiting = this.#waiting.filter((one) => one.channel !== channel);
    this.#disappoint(waiting, new Error('left before it listened'));
    if (this.client.status !== 'ready') return; // A deaf link subscribes what is left when it comes back.
    this.client[this.#commands.unsubscribe](channel).catch(() => {
      // The socket broke: the channel is not among those that will be subscribed again.
    });
  }

  close(): void {
    this.#channels.clear();
    cutClient(this.client);
    this.#disappoint(this.#waiting.splice(0), new Error('closed before it listened'));
  }

  async #listen(): Promise<void> {
    const waiting = this.#waiting.splice(0);
    const heard: string[] = [];
    // One by one: a single channel whose slot has moved must not keep the others from being heard.
    await Promise.all(
      Array.from(this.#channels, async (channel) => {
        const waiters = waiting.filter((one) => one.channel === channel);
        try {
          await this.#subscribe(channel);
        } catch (error) {
          this.events.onRefused(channel, error as Error);
          this.#disappoint(waiters, error as Error);
          return;
        }
        heard.push(channel);
        for (const { resolve } of waiters) resolve();
      }),
    );
    if (this.#listenedBefore) this.events.onGap(heard);
    this.#listenedBefore = true;
  }

  #disappoint(waiting: readonly Waiting[], reason: Error): void {
    for (const { reject } of waiting) reject(reason);
  }

  async #subscribe(channel: string): Promise<void> {
    await this.client[this.#commands.subscribe](channel);
  }
}
