import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RedisConnection, Subscription } from '@redstart/redis-core';
import { SharedCommand } from '../../shared-command.js';
import type { ResolvedStreamsOptions } from '../../streams.options.js';
import { backgroundCall } from '../group.js';
import type { Reporter } from '../reporter.js';

/** What goes wrong at it is told as that. */
const asking = 'asking whether the group is paused';

/** Whether the group is paused in one stream, or partition of it. */
export class WatchedPause {
  #paused = false;
  #subscription: Promise<Subscription | undefined> = Promise.resolve(undefined);
  readonly #watch: PauseWatch;
  readonly #onChange: (paused: boolean) => void;

  /** @param onChange told when a pause begins, and when it ends */
  constructor(
    readonly key: string,
    watch: PauseWatch,
    onChange: (paused: boolean) => void,
  ) {
    this.#watch = watch;
    this.#onChange = onChange;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Begins to listen, and to be looked at. Never rejects: without Pub/Sub a change is noticed within `block`. */
  start(): void {
    this.#subscription = this.#watch.add(this);
  }

  /** Waits for nothing: while Redis is away there may be no answer to the subscription yet. It is given up when it comes. */
  stop(): void {
    this.#watch.delete(this);
    void this.#subscription.then((subscription) => subscription?.close());
  }

  /** What Redis says. */
  set(paused: boolean): void {
    if (paused === this.#paused) return;
    this.#paused = paused;
    this.#onChange(paused);
  }
}

/**
 * Knows where a group is paused, for all streams that one reader reads.
 *
 * What counts is a key per stream, which lives until the group is resumed. They are looked at together: before the first read of a stream, once per `block` from then on, and at once when the channel of one tells of a
 * change; so a message of Pub/Sub that gets lost costs at most one `block`. While Redis can't be asked the last answer stands.
 */
export class PauseWatch {
  readonly #connection: RedisConnection;
  readonly #options: ResolvedStreamsOptions;
  readonly #reporter: Reporter;
  readonly #stretch: () => number;
  readonly #shared: SharedCommand<WatchedPause>;
  readonly #pauses = new Set<WatchedPause>();
  /** By the local clock, when the keys were looked at, as far as there is an answer. */
  #checkedAt = -Infinity;
  #looksSoon = false;
  #looking: Promise<void> | undefined;

  /** @param stretch so many times as rarely it looks */
  constructor(connection: RedisConnection, options: ResolvedStreamsOptions, reporter: Reporter, stretch: () => number) {
    this.#connection = connection;
    this.#options = options;
    this.#reporter = reporter;
    this.#stretch = stretch;
    this.#shared = new SharedCommand(connection.clock, ({ key }, error) => {
      reporter.error(`${asking}: ${key}`, error, `paused ${key}`);
    });
  }

  /** Whether it was looked at too long ago, or never. */
  get stale(): boolean {
    return this.#connection.clock.now() - this.#checkedAt >= this.#options.blockMs * this.#stretch();
  }

  /** @returns a subscription to the changes; undefined when there can't be one. Never rejects. */
  async add(pause: WatchedPause): Promise<Subscription | undefined> {
    this.#pauses.add(pause);
    this.#checkedAt = -Infinity;
    const look = () => {
      this.#lookSoon();
    };
    try {
      const subscription = await this.#connection.subscriber.subscribe(pause.key, { onMessage: look, onGap: look });
      // What was told before this has been heard by nobody.
      look();
      return subscription;
    } catch (error) {
      this.#reporter.error('listening for pauses of the group', error);
      return undefined;
    }
  }

  delete(pause: WatchedPause): void {
    this.#pauses.delete(pause);
  }

  /** Resolves when Redis has been asked, not too long ago. Never rejects. */
  async known(): Promise<void> {
    await this.#looking;
    if (this.stale) await this.look();
  }

  /**
   * Asks Redis. Never rejects.
   * @see  one MGET
   */
  look(): Promise<void> {
    const looking = this.#look().finally(() => {
      if (this.#looking === looking) this.#looking = undefined;
    });
    this.#looking = looking;
    return looking;
  }

  async #look(): Promise<void> {
    const pauses = [...this.#pauses];
    if (this.#connection.closed || pauses.length === 0) return;
    const askedAt = this.#connection.clock.now();
    try {
      await this.#shared.ask(pauses, async (some) => {
        const found = await this.#connection.call(backgroundCall({ options: this.#options }, 'paused'), (client) =>
          client.mget(some.map(({ key }) => key)),
        );
        some.forEach((pause, at) => {
          if (this.#pauses.has(pause)) pause.set(found[at] !== null);
        });
      });
    } catch (error) {
      this.#reporter.error(asking, error);
    }
    // Not before there is an answer, and not for who came meanwhile: nobody may read on the strength of a question.
    if ([...this.#pauses].every((pause) => pauses.includes(pause))) this.#checkedAt = askedAt;
  }

  /** With the next turn: what happens together is looked at once. */
  #lookSoon(): void {
    if (this.#looksSoon) return;
    this.#looksSoon = true;
    void nextTurn().then(() => {
      this.#looksSoon = false;
      return this.look();
    });
  }
}
