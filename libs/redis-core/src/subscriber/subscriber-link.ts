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

/**
 * One subscriber connection and the channels it carries: one link for a server or Sentinel, one per master of a Cluster.
 *
 * - *deaf*: from the start, and from each `close` of the socket until the channels are subscribed again.
 * - *listening*: after every `ready`, once the server has confirmed all channels. Coming here a second time is a gap.
 * - *closed*: by {@link close}, for good.
 *
 * ioredis' own resubscription is off: its promises are nobody's to catch, and it can't tell when it is done.
 */
export class SubscriberLink {
  readonly #channels = new Set<string>();
  readonly #commands: { subscribe: 'subscribe' | 'ssubscribe'; unsubscribe: 'unsubscribe' | 'sunsubscribe' };
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
    await this.client[this.#commands.subscribe](channel);
  }

  async remove(channel: string): Promise<void> {
    if (!this.#channels.delete(channel)) return;
    if (this.client.status !== 'ready') return; // A deaf link subscribes what is left when it comes back.
    await this.client[this.#commands.unsubscribe](channel).catch(() => {
      // The socket broke: the channel is not among those that will be subscribed again.
    });
  }

  close(): void {
    this.#channels.clear();
    cutClient(this.client);
  }

  async #listen(): Promise<void> {
    const channels = [...this.#channels];
    // One by one: a single channel whose slot has moved must not keep the others from being heard.
    const answers = await Promise.allSettled(channels.map((channel) => this.client[this.#commands.subscribe](channel)));
    const heard = channels.filter((channel, index) => {
      const answer = answers[index];
      if (answer?.status !== 'rejected') return true;
      this.events.onRefused(channel, answer.reason as Error);
      return false;
    });
    if (this.#listenedBefore) this.events.onGap(heard);
    this.#listenedBefore = true;
  }
}
