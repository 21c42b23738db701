import type { Clock, RedisConnection, Subscription } from '@redstart/redis-core';
import type { CacheKeys, EntryKeys } from '../keys.js';
import type { LoadEnd, WakeChannel } from '../scripts/wake.js';
import { callOf } from '../store/commands.js';

/** What ends a wait. `look`: messages may have been missed. `silence`: nothing has been heard. */
export type Heard = LoadEnd | 'look' | 'silence';

/**
 * One load that waits for another process's, from before it asks for the lease: the message may overtake the answer.
 *
 * What it hears while nobody waits is kept, once.
 */
export class Ear {
  #heard: Heard | undefined;
  #wake: (() => void) | undefined;

  constructor(
    readonly at: EntryKeys,
    private readonly clock: Clock,
    private readonly wakeUps: Pick<WakeUps, 'listen' | 'leave'>,
  ) {}

  close(): void {
    this.wakeUps.leave(this);
  }

  hear(how: Heard): void {
    // That it may have missed something says less than what it has heard.
    if (how !== 'look' || this.#heard === undefined) this.#heard = how;
    this.#wake?.();
  }

  /** Resolves after `ms` at the latest. */
  async wait(ms: number): Promise<Heard> {
    this.wakeUps.listen(this.at);
    if (this.#heard === undefined) {
      await new Promise<void>((resolve) => {
        const cancel = this.clock.after(ms, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const heard = this.#heard ?? 'silence';
    this.#heard = undefined;
    return heard;
  }
}

/**
 * Where the loads of one process hear of the end of loads in others.
 *
 * The channel is listened to from the first time that a load has to wait: with one channel for all values (server, Sentinel) until the end of the application,
 * with one per value (Cluster) while somebody waits for it. At the moment at which Redis confirms it, and after every gap, all who wait look for themselves.
 */
export class WakeUps {
  /** By value. */
  readonly #ears = new Map<string, Ear[]>();
  readonly #channels = new Map<string, Promise<Subscription>>();
  #sharded: boolean | undefined;
  /** For all values. */
  readonly #one: WakeChannel;

  constructor(
    private readonly connection: RedisConnection,
    keys: CacheKeys,
    private readonly budgetMs: number,
  ) {
    this.#one = { command: 'PUBLISH', channel: keys.wake };
  }

  /**
   * Where the end of a load is told. A Cluster has to be asked, once.
   * @throws RedisUnavailableError when it does not answer · RedisCommandError
   */
  async channel(at: EntryKeys, leftMs = this.budgetMs): Promise<WakeChannel> {
    const known = this.known(at);
    if (known !== undefined) return known;
    const { connection } = this;
    const call = callOf('cache.channel', Math.max(1, leftMs));
    this.#sharded = await connection.call(call, () => connection.subscriber.sharded());
    return this.#sharded ? shardedChannel(at) : this.#one;
  }

  /** As {@link channel}, where nobody has to be asked. */
  known(at: EntryKeys): WakeChannel | undefined {
    if (this.#sharded === true) return shardedChannel(at);
    return this.#sharded === undefined && this.connection.cluster ? undefined : this.#one;
  }

  open(at: EntryKeys): Ear {
    const ear = new Ear(at, this.connection.clock, this);
    const ears = this.#ears.get(at.value);
    if (ears === undefined) this.#ears.set(at.value, [ear]);
    else ears.push(ear);
    return ear;
  }

  /** How many values have an ear. */
  get size(): number {
    return this.#ears.size;
  }

  /** Called by an ear that begins to wait. */
  listen(at: EntryKeys): void {
    this.#listen(at).catch(() => {
      // Redis can't say where to listen: whoever waits goes by the end of the lease, and the next one asks again.
    });
  }

  /** Called by an ear that is closed. */
  leave(ear: Ear): void {
    const { at } = ear;
    const others = (this.#ears.get(at.value) ?? []).filter((one) => one !== ear);
    if (others.length > 0) {
      this.#ears.set(at.value, others);
      return;
    }
    this.#ears.delete(at.value);
    if (this.#sharded === true) this.#unsubscribe(at.wake);
  }

  async #listen(at: EntryKeys): Promise<void> {
    const { channel } = await this.channel(at);
    const known = this.#channels.get(channel);
    if (known !== undefined) return;
    const tellAll = () => {
      for (const [value, ears] of this.#ears) {
        if (this.#sharded === true && value !== at.value) continue;
        for (const ear of ears) ear.hear('look');
      }
    };
    const subscription = this.connection.subscriber.subscribe(channel, {
      onMessage: (message) => {
        this.#deliver(message);
      },
      onGap: tellAll,
    });
    this.#channels.set(channel, subscription);
    subscription.then(tellAll, () => {
      // Redis does not let us listen: whoever waits goes by the end of the lease, and the next one tries again.
      if (this.#channels.get(channel) === subscription) this.#channels.delete(channel);
    });
  }

  #unsubscribe(channel: string): void {
    const subscription = this.#channels.get(channel);
    if (subscription === undefined) return;
    this.#channels.delete(channel);
    subscription
      .then((open) => open.close())
      .catch(() => {
        // It was never opened, or its socket has gone: nothing is left to close.
      });
  }

  #deliver(message: string): void {
    const end = message.indexOf(' ');
    const how = message.slice(0, end);
    if (how !== 'stored' && how !== 'unstored' && how !== 'failed' && how !== 'gone') return;
    for (const ear of this.#ears.get(message.slice(end + 1)) ?? []) ear.hear(how);
  }
}

function shardedChannel({ wake }: EntryKeys): WakeChannel {
  return { command: 'SPUBLISH', channel: wake };
}
