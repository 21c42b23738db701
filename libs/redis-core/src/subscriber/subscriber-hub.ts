import { Logger } from '@nestjs/common';
import { isCluster, ownerOf } from '../connection/cluster.js';
import { hashSlot } from '../keys/hash-slot.js';
import type { Capabilities } from '../connection/capabilities.js';
import { quote } from '../options/quote.js';
import { RedisUnavailableError } from '../redis.errors.js';
import type { RedisClient } from '../redis.options.js';
import { SubscriberLink } from './subscriber-link.js';

export interface SubscriptionHandlers {
  onMessage(message: string): void;
  /** Messages may have been missed: whatever was derived from them has to be checked anew. */
  onGap?(): void;
}

/** A place in the hub. */
export interface Subscription {
  readonly channel: string;
  /** Gives it up: nothing is heard from here on. The server is told, and not waited for, since it may hang. */
  close(): Promise<void>;
}

export interface SubscriberHubOptions {
  /** Opens the one subscriber connection of a server or Sentinel. */
  readonly createClient: () => RedisClient;
  /** Opens a subscriber connection to one master of a Cluster, given as `host:port`. */
  readonly createNodeClient: (node: string) => RedisClient;
  readonly request: RedisClient;
  readonly capabilities: Capabilities;
  readonly place: string;
}

const onlyLink = 'the only one';

/**
 * All Pub/Sub of one connection: shared by every library, one subscription per channel however many listen, resubscribed after each
 * reconnect, and honest about what may have been missed meanwhile.
 *
 * - *idle*: nobody listens, no socket.
 * - *listening*: a {@link SubscriberLink} to the server, or one to each master of a Cluster that owns a channel's slot (sharded Pub/Sub,
 *   where the server has it). When slots move, the channels move after them, and their listeners are told of the gap.
 * - *closed*: for good.
 *
 * Messages are delivered at most once: Pub/Sub keeps nothing for who is not there.
 */
export class SubscriberHub {
  readonly #listeners = new Map<string, Set<SubscriptionHandlers>>();
  readonly #links = new Map<string, SubscriberLink>();
  /** Which link carries a channel; a channel without one waits for the Cluster to say who owns its slot. */
  readonly #carrier = new Map<string, string>();
  readonly #logger = new Logger('Redis');
  #closed = false;
  #followsCluster = false;
  #knownSharded = false;

  constructor(private readonly options: SubscriberHubOptions) {}

  /**
   * Listens on a channel. Resolves when the server has confirmed it, so that nothing published afterwards is missed.
   *
   * @throws RedisUnavailableError when the hub is closed, or Redis refuses
   */
  async subscribe(channel: string, handlers: SubscriptionHandlers): Promise<Subscription> {
    if (this.#closed) throw new RedisUnavailableError('subscribe: the connection is closed.', 'not-executed');
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(handlers));
    try {
      await this.#carry(channel);
    } catch (error) {
      this.#leave(channel, handlers);
      throw new RedisUnavailableError(`subscribe: ${this.options.place} does not let us listen.`, 'unknown', {
        cause: error,
      });
    }
    return {
      channel,
      close: () => {
        this.#leave(channel, handlers);
        return Promise.resolve();
      },
    };
  }

  /** Publishes to whoever listens at this moment, in the way the hub listens. Returns at once when sent; see {@link RedisConnection.call} for a budget. */
  async publish(client: RedisClient, channel: string, message: string): Promise<number> {
    const command = (await this.sharded()) ? 'SPUBLISH' : 'PUBLISH';
    return Number(await client.call(command, channel, message));
  }

  close(): Promise<void> {
    this.#closed = true;
    this.options.request.off('refresh', this.#follow);
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    this.#carrier.clear();
    this.#listeners.clear();
    return Promise.resolve();
  }

  /** Whether messages travel by sharded Pub/Sub: then a script that publishes has to use SPUBLISH. */
  async sharded(): Promise<boolean> {
    if (!isCluster(this.options.request)) return false;
    // Once true it stays so: a Cluster that answers no more has not forgotten how.
    this.#knownSharded ||= await this.options.capabilities.has('SSUBSCRIBE');
    return this.#knownSharded;
  }

  /** Puts a channel on the link that should carry it. */
  async #carry(channel: string): Promise<void> {
    const sharded = await this.sharded();
    if (this.#closed) throw new Error('closed meanwhile');
    if (!this.#listeners.has(channel)) return; // Its last listener has left meanwhile.
    const wanted = sharded ? this.#ownerOf(channel) : onlyLink;
    if (wanted === undefined) throw new Error(`no master is known for the slot of ${channel}`);
    const current = this.#carrier.get(channel);
    if (current === wanted) return this.#links.get(wanted)?.add(channel);
    this.#carrier.set(channel, wanted);
    if (current !== undefined) this.#drop(current, channel);
    this.#followCluster();
    await this.#link(wanted, sharded).add(channel);
  }

  #link(node: string, sharded: boolean): SubscriberLink {
    const existing = this.#links.get(node);
    if (existing !== undefined) return existing;
    const client = sharded ? this.options.createNodeClient(node) : this.options.createClient();
    const link = new SubscriberLink(
      client,
      {
        onMessage: (channel, message) => {
          this.#deliver(channel, message);
        },
        onGap: (channels) => {
          channels.forEach((channel) => {
            this.#tellOfGap(channel);
          });
        },
        onRefused: (channel) => {
          this.#carrier.delete(channel);
          if (isCluster(this.options.request)) this.options.request.refreshSlotsCache();
        },
      },
      sharded,
    );
    this.#links.set(node, link);
    return link;
  }

  #leave(channel: string, handlers: SubscriptionHandlers): void {
    const listeners = this.#listeners.get(channel);
    if (listeners?.delete(handlers) !== true || listeners.size > 0) return;
    this.#listeners.delete(channel);
    const carrier = this.#carrier.get(channel);
    this.#carrier.delete(channel);
    if (carrier !== undefined) this.#drop(carrier, channel);
  }

  #drop(node: string, channel: string): void {
    const link = this.#links.get(node);
    if (link === undefined) return;
    link.remove(channel);
    if (link.size > 0) return;
    this.#links.delete(node);
    link.close();
  }

  #deliver(channel: string, message: string): void {
    for (const handlers of this.#listeners.get(channel) ?? []) {
      this.#protect(channel, () => {
        handlers.onMessage(message);
      });
    }
  }

  #tellOfGap(channel: string): void {
    for (const handlers of this.#listeners.get(channel) ?? []) {
      this.#protect(channel, () => {
        handlers.onGap?.();
      });
    }
  }

  /** A listener that throws must not keep the others from hearing, let alone end the process. */
  #protect(channel: string, tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#logger.error(
        `A listener of ${quote(channel)} has failed: ${error instanceof Error ? error.message : 'it threw no error'}`,
      );
    }
  }

  /** After every look at the Cluster's slots: channels whose slot has a new owner move there. */
  #followCluster(): void {
    if (this.#followsCluster || !isCluster(this.options.request)) return;
    this.#followsCluster = true;
    this.options.request.on('refresh', this.#follow);
  }

  readonly #follow = (): void => {
    for (const channel of this.#listeners.keys()) {
      const owner = this.#ownerOf(channel);
      if (owner === undefined || owner === this.#carrier.get(channel)) continue;
      this.#carry(channel).then(
        () => {
          this.#tellOfGap(channel);
        },
        () => {
          // The new owner can't be reached yet; the next refresh tries again.
          this.#carrier.delete(channel);
        },
      );
    }
  };

  #ownerOf(channel: string): string | undefined {
    return ownerOf(this.options.request, hashSlot(channel));
  }
}
