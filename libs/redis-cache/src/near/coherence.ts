import { Logger } from '@nestjs/common';
import { isCluster, Warnings, type RedisClient, type RedisConnection } from '@redstart/redis-core';
import type { CoherenceKeys } from '../keys.js';
import { never, type FeedEvents, type InvalidationFeed } from './feed.js';
import { PubSubFeed } from './pubsub-feed.js';
import { TrackingFeed } from './tracking-feed.js';

/** How the near tier hears of changes: see `CacheOptions.coherence`. */
export type CoherenceMode = 'auto' | 'tracking' | 'pubsub' | 'none';

export interface CoherenceOptions {
  readonly mode: CoherenceMode;
  readonly maxLagMs: number;
}

/** What becomes of what was heard. */
export interface CoherenceEvents {
  onChanged(keys: readonly string[]): void;
  onGap(): void;
}

/**
 * Keeps a near tier true to Redis, or off.
 *
 * - *off*: before `start`, after `stop`.
 * - *probing*: a feed listens, and has not yet heard anything that proves it.
 * - *coherent*: while the clock stands before {@link trustedUntil}.
 * - *gap*: the feed has lost its connection, or has heard nothing for `maxLag`. Everything is forgotten in the former case.
 *
 * Under `auto` it goes by CLIENT TRACKING, and is off where the server refuses that. It does not go by Pub/Sub then of its own accord: those who do not, as Redis tells them
 * of changes, announce nothing to it. Under `none` nothing is heard, and everything believed.
 */
export class Coherence {
  /** Hits may be served before this moment of the process' clock. */
  trustedUntil = never;
  readonly #logger = new Logger('RedisCache');
  readonly #warnings: Warnings;
  #feed: InvalidationFeed | undefined;
  #worked = false;
  #running = false;
  /** The operator knows of it. */
  #toldOfRefusal = false;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: CoherenceOptions,
    private readonly keys: CoherenceKeys,
    private readonly events: CoherenceEvents,
  ) {
    this.#warnings = new Warnings('RedisCache', connection.clock);
  }

  /** By what it hears of changes at the moment, or would: undefined when it is off, or hears nothing. */
  get by(): 'tracking' | 'pubsub' | undefined {
    if (this.#feed instanceof TrackingFeed) return 'tracking';
    return this.#feed instanceof PubSubFeed ? 'pubsub' : undefined;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    const { mode } = this.options;
    if (mode !== 'none' && readsReplicas(this.connection.client)) {
      this.#logger.warn(
        'The near tier stays off: the client reads from replicas, which may not have got a change yet that is announced by their master.',
      );
      return;
    }
    if (mode === 'none') this.trustedUntil = Infinity;
    else if (mode === 'pubsub') this.#listen('pubsub');
    else this.#listen('tracking');
  }

  stop(): void {
    this.#running = false;
    this.#drop();
    this.trustedUntil = never;
  }

  /**
   * Tells the others what this process has changed, where Redis does not. No keys: any of them. Never rejects.
   * @returns when it has been told, if that takes time
   */
  announce(keys: readonly string[]): Promise<void> | undefined {
    return this.#feed instanceof PubSubFeed ? this.#feed.announce(keys) : undefined;
  }

  #listen(by: 'tracking' | 'pubsub'): void {
    this.#drop();
    const options = { clock: this.connection.clock, maxLagMs: this.options.maxLagMs, keys: this.keys };
    const Feed = by === 'tracking' ? TrackingFeed : PubSubFeed;
    // A feed that was given up may have something left to say.
    const ifCurrent =
      <A extends unknown[]>(hear: (...args: A) => void) =>
      (...args: A) => {
        if (this.#feed === feed) hear(...args);
      };
    const events: FeedEvents = {
      onChanged: ifCurrent((keys) => {
        this.events.onChanged(keys);
      }),
      onGap: ifCurrent(() => {
        this.events.onGap();
      }),
      onTrust: ifCurrent(() => {
        this.#trust(feed.trustedUntil, by);
      }),
      onRefused: ifCurrent((reason) => {
        this.#refused(reason);
      }),
      onTrouble: ifCurrent((error) => {
        this.#warnings.warn(error.name, `The near tier is off until it hears of changes again: ${error.message}`);
      }),
    };
    const feed: InvalidationFeed = new Feed(this.connection, options, events);
    this.#feed = feed;
    feed.start();
  }

  #drop(): void {
    const feed = this.#feed;
    this.#feed = undefined;
    feed?.stop();
    this.trustedUntil = never;
    this.events.onGap();
  }

  #trust(until: number, by: 'tracking' | 'pubsub'): void {
    this.trustedUntil = until;
    if (this.#worked || until === never) return;
    this.#worked = true;
    this.#logger.log(
      `The near tier hears of changes by ${by === 'tracking' ? 'CLIENT TRACKING' : 'Pub/Sub'} of ${this.connection.place}.`,
    );
  }

  #refused(reason: string): void {
    const what = `${this.connection.place} does not let the near tier track changes: ${reason}. It is off meanwhile.`;
    if (this.options.mode === 'tracking' || this.#worked) {
      this.#warnings.warn('refused', what);
      return;
    }
    if (this.#toldOfRefusal) return;
    this.#toldOfRefusal = true;
    this.#logger.warn(
      `${what} Say coherence: 'pubsub' in all processes of the application, also in those without a near tier, to go by Pub/Sub, which hears only of what this library changes; or near: false.`,
    );
  }
}

/** Only a client of the user's own may do that. */
function readsReplicas(client: RedisClient): boolean {
  return isCluster(client) ? client.options.scaleReads !== 'master' : client.options.role === 'slave';
}
