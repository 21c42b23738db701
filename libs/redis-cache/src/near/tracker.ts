import type { Cancel, Clock } from '@redstart/redis-core';
import type { Redis } from 'ioredis';
import { never, type FeedEvents } from './feed.js';

/** Where Redis sends the keys that have changed, to a connection that speaks RESP2. */
const invalidations = '__redis__:invalidate';

export interface TrackerOptions {
  readonly clock: Clock;
  /** Every key that begins like this is heard of. */
  readonly prefix: string;
  /** How long the server may be silent, in milliseconds. It is asked for a sign of life three times as often. */
  readonly maxLagMs: number;
  /** A new connection of the tracking profile, unconnected. */
  readonly open: () => Redis;
  readonly close: (client: Redis) => void;
  /** A key under the prefix that this tracker's server owns; undefined while it is not known to own any. */
  readonly canaryKey: () => string | undefined;
  /** Writes it, by another connection. */
  readonly writeCanary: (key: string) => Promise<void>;
}

/**
 * Hears from one master which keys have changed: CLIENT TRACKING in broadcasting mode, on a connection that redirects to itself.
 *
 * One connection for both is what keeps this honest: a tracked connection whose redirection target dies is told nothing, and one that dies itself
 * leaves keys behind that are never announced (redis#13082). Here either all is well or the socket is closed.
 *
 * - *off*: before `start` and after `stop`. No socket, no timer.
 * - *probing*: from each `ready` of the connection. TRACKING is on and the channel subscribed; a canary key is written, and a PING sent when Redis has
 *   confirmed that. Messages and answers share the connection and keep their order, so the canary is heard before the PONG, or tracking is not to be had.
 * - *coherent*: from that PONG. Each further one says that every change up to its PING has been heard: `trustedUntil` is the PING's moment plus
 *   `maxLagMs`, and passes by itself when no answer comes. Then, whatever arrives late arrives in order, so nothing has to be forgotten.
 * - *gap*: from each `close` of the socket. The client reconnects by itself. A server that has been silent for `maxLagMs` is cut off, so a half-open
 *   connection ends here, too.
 *
 * @see https://redis.io/docs/latest/develop/reference/client-side-caching/
 */
export class Tracker {
  #client: Redis | undefined;
  #trustedUntil = never;
  /** Whether this connection has heard its canary. */
  #proven = false;
  /** How many connections in a row have not heard theirs. */
  #unheard = 0;
  #canary: { readonly key: string; heard: boolean } | undefined;
  /** Which connection of the client this is: what was begun on an earlier one must not speak for this one. */
  #generation = 0;
  /** When the PING was sent that has not been answered yet. */
  #askedAt: number | undefined;
  /** When a message came last: a server that announces a lot is alive, however long its answer takes to get through. */
  #heardAt = never;
  #cancelBeat: Cancel = () => undefined;
  #cancelRetry: Cancel = () => undefined;

  constructor(
    private readonly options: TrackerOptions,
    private readonly events: FeedEvents,
  ) {}

  get trustedUntil(): number {
    return this.#trustedUntil;
  }

  start(): void {
    if (this.#client !== undefined) return;
    const client = this.options.open();
    this.#client = client;
    client
      .on('messageBuffer', this.#hear)
      .on('ready', () => {
        this.#begin(client);
      })
      .on('close', this.#lose);
    client.connect().catch(() => {
      // The client goes on trying; `ready` tells when it got there.
    });
  }

  stop(): void {
    const client = this.#client;
    if (client === undefined) return;
    this.#client = undefined;
    client.off('close', this.#lose).off('messageBuffer', this.#hear);
    this.#lose();
    this.options.close(client);
  }

  readonly #lose = (): void => {
    this.#generation += 1;
    this.#cancelBeat();
    this.#cancelRetry();
    this.#askedAt = undefined;
    this.#proven = false;
    this.#canary = undefined;
    this.#trustedUntil = never;
    this.events.onTrust();
    this.events.onGap();
  };

  #begin(client: Redis): void {
    const generation = this.#generation;
    const isCurrent = () => this.#generation === generation && this.#client === client;
    this.#beat(client, isCurrent);
    this.#listen(client)
      .then(() => this.#probe(client, isCurrent))
      .catch((error: unknown) => {
        if (!isCurrent() || !(error instanceof Error)) return;
        if (isRefusal(error)) this.events.onRefused(error.message);
        else this.events.onTrouble(error);
        if (isCurrent()) this.#retry(client, isCurrent);
      });
  }

  async #listen(client: Redis): Promise<void> {
    const id = await client.client('ID');
    await client.client('TRACKING', 'ON', 'REDIRECT', id, 'BCAST', 'PREFIX', this.options.prefix);
    await client.subscribe(invalidations);
  }

  async #probe(client: Redis, isCurrent: () => boolean): Promise<void> {
    const key = this.options.canaryKey();
    if (!isCurrent()) return;
    if (key === undefined) {
      this.#retry(client, isCurrent);
      return;
    }
    const canary = { key, heard: false };
    this.#canary = canary;
    try {
      await this.options.writeCanary(key);
    } catch (error) {
      // What could not be written says nothing about what would be heard.
      if (isCurrent() && error instanceof Error) this.events.onTrouble(error);
      this.#retry(client, isCurrent);
      return;
    }
    if (!isCurrent()) return;
    const sentAt = this.options.clock.now();
    await client.ping();
    if (!isCurrent()) return;
    if (!canary.heard) {
      this.#unheard += 1;
      // Once it may have been written to another server: slots move, and masters change.
      if (this.#unheard === 1) client.disconnect(true);
      else {
        this.events.onRefused('it does not tell which keys change');
        this.#retry(client, isCurrent);
      }
      return;
    }
    this.#unheard = 0;
    this.#canary = undefined;
    this.#proven = true;
    this.#trust(sentAt);
  }

  /** Another server, or another mood of this one, may be kinder. */
  #retry(client: Redis, isCurrent: () => boolean): void {
    this.#cancelRetry();
    if (!isCurrent()) return;
    this.#cancelRetry = this.options.clock.after(
      this.options.maxLagMs,
      () => {
        if (isCurrent()) client.disconnect(true);
      },
      { unref: true },
    );
  }

  /** Asks for a sign of life, and for the next one later; gives the connection up when there was none. */
  #beat(client: Redis, isCurrent: () => boolean): void {
    const { clock, maxLagMs } = this.options;
    if (this.#askedAt === undefined) this.#ask(client, isCurrent);
    const isSilent = () =>
      this.#askedAt !== undefined && clock.now() - Math.max(this.#askedAt, this.#heardAt) >= maxLagMs;
    this.#cancelBeat = clock.after(
      maxLagMs / 3,
      () => {
        if (!isSilent()) {
          this.#beat(client, isCurrent);
          return;
        }
        // Timers run before sockets are read: after an event loop that stood still, what has arrived meanwhile comes first.
        setImmediate(() => {
          if (!isCurrent()) return;
          if (isSilent()) client.disconnect(true);
          else this.#beat(client, isCurrent);
        });
      },
      { unref: true },
    );
  }

  #ask(client: Redis, isCurrent: () => boolean): void {
    const sentAt = this.options.clock.now();
    this.#askedAt = sentAt;
    client.ping().then(
      () => {
        if (!isCurrent()) return;
        this.#askedAt = undefined;
        if (this.#proven) this.#trust(sentAt);
      },
      () => {
        // The socket broke: `close` tells.
      },
    );
  }

  #trust(sentAt: number): void {
    this.#trustedUntil = Math.max(this.#trustedUntil, sentAt + this.options.maxLagMs);
    this.events.onTrust();
  }

  readonly #hear = (channel: Buffer, keys: unknown): void => {
    if (channel.toString() !== invalidations) return;
    this.#heardAt = this.options.clock.now();
    if (!Array.isArray(keys)) {
      // FLUSHALL and FLUSHDB are announced without keys.
      this.events.onGap();
      return;
    }
    const names = keys.map(String);
    if (this.#canary !== undefined && names.includes(this.#canary.key)) this.#canary.heard = true;
    this.events.onChanged(names);
  };
}

/** Whether a server does not have the commands, or does not let us use them; not whether it can't work at the moment. */
function isRefusal(error: Error): boolean {
  return error.name === 'ReplyError' && /^(ERR|NOPERM)\b/.test(error.message);
}
