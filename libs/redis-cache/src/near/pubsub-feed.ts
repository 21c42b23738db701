import { randomBytes } from 'node:crypto';
import type { Cancel, RedisConnection, Subscription } from '@redstart/redis-core';
import { never, type FeedEvents, type InvalidationFeed } from './feed.js';
import type { FeedOptions } from './tracking-feed.js';

/** What processes tell each other: who speaks, and which keys have changed; no keys for "any of them". */
type Change = readonly [process: string, ...keys: string[]];

/** More unannounced keys than this are announced as "any of them". */
const mostOwed = 1_000;

/**
 * Hears of changed keys from the processes that change them, by Pub/Sub: for servers without CLIENT TRACKING.
 *
 * - *off*: before `start`, after `stop`.
 * - *probing*: subscribed to the channel of changes, and in the same slot to one of its own, on which it publishes to itself.
 * - *coherent*: from its first echo. Both channels share a connection, so an echo says that what was published before it has been heard. `trustedUntil` is
 *   the moment at which the last echo was sent, plus `maxLagMs`.
 * - *gap*: told by the subscriber hub when it listens again; until then `trustedUntil` passes for want of an echo.
 *
 * What a process could not announce it owes, and announces with its next echo. Only changes by this library are heard of, and only while the process that
 * made them lives long enough to say so: the near tier's `ttl` bounds the rest.
 */
export class PubSubFeed implements InvalidationFeed {
  readonly #process = randomBytes(9).toString('base64url');
  readonly #echoChannel: string;
  readonly #subscriptions: Subscription[] = [];
  readonly #owed = new Set<string>();
  #owesAll = false;
  #running = false;
  #subscribed = false;
  #trustedUntil = never;
  #cancelBeat: Cancel = () => undefined;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: FeedOptions,
    private readonly events: FeedEvents,
  ) {
    this.#echoChannel = options.keys.echo(this.#process);
  }

  get trustedUntil(): number {
    return this.#trustedUntil;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#beat();
  }

  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#cancelBeat();
    this.#lose();
    for (const subscription of this.#subscriptions.splice(0)) void subscription.close();
  }

  /** Tells the others what this process has changed; no keys: any of them. Never rejects. */
  announce(keys: readonly string[]): Promise<void> {
    return this.#tell([this.#process, ...keys]).catch((error: unknown) => {
      this.#owesAll ||= keys.length === 0 || this.#owed.size + keys.length > mostOwed;
      if (this.#owesAll) this.#owed.clear();
      else keys.forEach((key) => this.#owed.add(key));
      this.#trouble(error);
    });
  }

  /** Shows itself that it hears, and tells what it owes. */
  #beat(): void {
    const { clock, maxLagMs } = this.options;
    this.#round().catch((error: unknown) => {
      this.#trouble(error);
    });
    this.#cancelBeat = clock.after(
      maxLagMs / 3,
      () => {
        this.#beat();
      },
      { unref: true },
    );
  }

  async #round(): Promise<void> {
    await this.#subscribe();
    if (this.#owesAll || this.#owed.size > 0) await this.#payDebts();
    if (!this.#running) return;
    await this.#publish(this.#echoChannel, String(this.options.clock.now()));
  }

  async #subscribe(): Promise<void> {
    if (this.#subscribed) return;
    this.#subscribed = true;
    try {
      const { changes } = this.options.keys;
      await this.#listen(changes, this.#hear);
      await this.#listen(this.#echoChannel, this.#hearEcho);
    } catch (error) {
      this.#subscribed = false;
      for (const subscription of this.#subscriptions.splice(0)) void subscription.close();
      throw error;
    }
  }

  async #listen(channel: string, onMessage: (message: string) => void): Promise<void> {
    const subscription = await this.connection.subscriber.subscribe(channel, { onMessage, onGap: this.#lose });
    if (this.#running) this.#subscriptions.push(subscription);
    else await subscription.close();
  }

  async #payDebts(): Promise<void> {
    const keys = [...this.#owed];
    const all = this.#owesAll;
    await this.#tell(all ? [this.#process] : [this.#process, ...keys]);
    // What has come to be owed meanwhile stays.
    if (all) this.#owesAll = false;
    keys.forEach((key) => this.#owed.delete(key));
  }

  #tell(change: Change): Promise<void> {
    return this.#publish(this.options.keys.changes, JSON.stringify(change));
  }

  async #publish(channel: string, message: string): Promise<void> {
    await this.connection.call(
      { library: 'redis-cache', operation: 'cache.announce', budgetMs: this.options.maxLagMs },
      (client) => this.connection.subscriber.publish(client, channel, message),
    );
  }

  readonly #lose = (): void => {
    this.#trustedUntil = never;
    this.events.onTrust();
    this.events.onGap();
  };

  readonly #hear = (message: string): void => {
    const change = parseChange(message);
    if (change === undefined || change[0] === this.#process) return;
    const [, ...keys] = change;
    if (keys.length === 0) this.events.onGap();
    else this.events.onChanged(keys);
  };

  readonly #hearEcho = (sentAt: string): void => {
    this.#trustedUntil = Math.max(this.#trustedUntil, Number(sentAt) + this.options.maxLagMs);
    this.events.onTrust();
  };

  #trouble(error: unknown): void {
    if (this.#running && error instanceof Error) this.events.onTrouble(error);
  }
}

/** Anybody may publish: what is no change of ours is nobody's. */
function parseChange(message: string): Change | undefined {
  try {
    const change: unknown = JSON.parse(message);
    return isChange(change) ? change : undefined;
  } catch {
    return undefined;
  }
}

function isChange(change: unknown): change is Change {
  return Array.isArray(change) && change.length > 0 && change.every((part) => typeof part === 'string');
}
