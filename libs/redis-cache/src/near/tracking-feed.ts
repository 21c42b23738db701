import { hashSlot, isCluster, ownerOf, type Clock, type RedisConnection } from '@redstart/redis-core';
import type { Redis } from 'ioredis';
import type { CoherenceKeys } from '../keys.js';
import { never, type FeedEvents, type InvalidationFeed } from './feed.js';
import { Tracker } from './tracker.js';

/** What a feed needs to know of its cache. */
export interface FeedOptions {
  readonly clock: Clock;
  readonly maxLagMs: number;
  readonly keys: CoherenceKeys;
}

/** For the only server there is. */
const onlyServer = 'the only one';
const slots = 16_384;
/** Enough numbers to meet any share of the slots that is worth the name. */
const mostCanaries = 100_000;
const canaryTtlMs = 1_000;

/**
 * Hears of changed keys by CLIENT TRACKING: one {@link Tracker}, or one for each master of a Cluster, since a node announces only its own keys.
 *
 * Coherent while every master that owns slots is tracked, and each tracker is. When the Cluster's slots are found to belong to others than before, a gap is
 * told, trackers of new masters are opened and those of old ones closed. A slot may be on its way to a master that has none yet: from when the client is sent there
 * to the next look at the slots nothing is trusted.
 */
export class TrackingFeed implements InvalidationFeed {
  readonly #trackers = new Map<string, Tracker>();
  #trustedUntil = never;
  #owners = '';
  /** Whether the client has been sent to a master that is not tracked. */
  #astray = false;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: FeedOptions,
    private readonly events: FeedEvents,
  ) {}

  get trustedUntil(): number {
    return this.#trustedUntil;
  }

  start(): void {
    const { client } = this.connection;
    if (isCluster(client)) client.on('refresh', this.#follow).on('+node', this.#meet);
    this.#follow();
  }

  stop(): void {
    const { client } = this.connection;
    if (isCluster(client)) client.off('refresh', this.#follow).off('+node', this.#meet);
    this.#astray = false;
    this.#owners = '';
    const trackers = [...this.#trackers.values()];
    this.#trackers.clear();
    for (const tracker of trackers) tracker.stop();
    this.#trustedUntil = never;
  }

  /** After every look at the Cluster's slots: the masters are tracked that own some now. */
  readonly #follow = (): void => {
    const wasAstray = this.#astray;
    this.#astray = false;
    const { owners, masters } = this.#topology();
    if (owners === this.#owners) {
      if (wasAstray) this.#weigh();
      return;
    }
    this.#owners = owners;
    for (const [node, tracker] of this.#trackers) {
      if (masters.has(node)) continue;
      this.#trackers.delete(node);
      tracker.stop();
    }
    const opened = [...masters].filter((node) => !this.#trackers.has(node)).map((node) => this.#track(node));
    this.#weigh();
    // Those that stay have heard all that happened at their masters, but not what happened elsewhere before.
    this.events.onGap();
    for (const tracker of opened) tracker.start();
  };

  /** What is read of a master that nobody tracks must not be kept, and what it was asked for already is not. */
  readonly #meet = ({ options: { host, port, readOnly } }: Redis): void => {
    if (readOnly === true || this.#trackers.has(`${host}:${port}`)) return;
    this.#astray = true;
    this.#weigh();
    this.events.onGap();
  };

  #track(node: string): Tracker {
    const { clock, maxLagMs, keys } = this.options;
    const tracker = new Tracker(
      {
        clock,
        maxLagMs,
        prefix: keys.prefix,
        open: () => this.connection.tracking(node === onlyServer ? undefined : node),
        close: (client) => {
          this.connection.release(client);
        },
        canaryKey: () => this.#canaryKey(node),
        writeCanary: async (key) => {
          await this.connection.call(
            { library: 'redis-cache', operation: 'cache.probe', budgetMs: maxLagMs },
            (client) => client.set(key, '', 'PX', canaryTtlMs),
          );
        },
      },
      {
        ...this.events,
        onTrust: () => {
          this.#weigh();
        },
      },
    );
    this.#trackers.set(node, tracker);
    return tracker;
  }

  /** What is heard of least decides. */
  #weigh(): void {
    const each = [...this.#trackers.values()].map(({ trustedUntil }) => trustedUntil);
    this.#trustedUntil = each.length === 0 || this.#astray ? never : Math.min(...each);
    this.events.onTrust();
  }

  #canaryKey(node: string): string | undefined {
    const { keys } = this.options;
    const { client } = this.connection;
    if (node === onlyServer) return keys.canary(0);
    for (let number = 0; number < mostCanaries; number += 1) {
      const key = keys.canary(number);
      if (ownerOf(client, hashSlot(key)) === node) return key;
    }
    return undefined;
  }

  /** Who owns slots, and in `owners` also which: equal only when nothing has moved. */
  #topology(): { owners: string; masters: ReadonlySet<string> } {
    const { client } = this.connection;
    if (!isCluster(client)) return { owners: onlyServer, masters: new Set([onlyServer]) };
    const masters = new Set<string>();
    const ranges: string[] = [];
    let told: string | undefined;
    let last: string | undefined;
    for (let slot = 0; slot < slots; slot += 1) {
      const server = client.slots[slot]?.[0];
      // Where a server is reached is found out once for each range: there are far more slots.
      if (server === told) continue;
      told = server;
      const owner = ownerOf(client, slot);
      if (owner === last) continue;
      last = owner;
      ranges.push(`${slot} ${owner ?? '-'}`);
      if (owner !== undefined) masters.add(owner);
    }
    return { owners: ranges.join(), masters };
  }
}
