import { RedisCommandError, type Clock } from '@redstart/redis-core';

const leftOutMs = 10_000;

/**
 * Asks Redis for several things with one command, and bears with some that it refuses.
 *
 * A command is refused whole when an account is not given one of its keys. It is sent again for each *half* then, and so on, until those are found that are refused by themselves: they are told, and
 * *left out* for ten seconds, after which they are asked for apart from the others until there is an answer. An outage is no refusal: it rejects, and changes nothing.
 */
export class SharedCommand<Item extends object> {
  readonly #clock: Clock;
  readonly #tell: (item: Item, error: RedisCommandError) => void;
  /** By the clock, until when; those whose time is over are still refused, as far as is known. */
  readonly #leftOut = new WeakMap<Item, number>();

  /** @param tell told of each that is refused by itself, each time */
  constructor(clock: Clock, tell: (item: Item, error: RedisCommandError) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /**
   * @param send sends the command for some of the items, and does what follows from the answer; called again only when the call before has ended
   * @throws what `send` rejects with, but no refusal
   */
  async ask(items: readonly Item[], send: (some: readonly Item[]) => Promise<void>): Promise<void> {
    const now = this.#clock.now();
    await this.#ask(
      items.filter((item) => !this.#leftOut.has(item)),
      send,
    );
    await this.#ask(
      items.filter((item) => (this.#leftOut.get(item) ?? Infinity) <= now),
      send,
    );
  }

  async #ask(items: readonly Item[], send: (some: readonly Item[]) => Promise<void>): Promise<void> {
    const [first] = items;
    if (first === undefined) return;
    try {
      await send(items);
      for (const item of items) this.#leftOut.delete(item);
    } catch (error) {
      if (!(error instanceof RedisCommandError)) throw error;
      if (items.length === 1) {
        this.#leftOut.set(first, this.#clock.now() + leftOutMs);
        this.#tell(first, error);
        return;
      }
      const half = Math.ceil(items.length / 2);
      await this.#ask(items.slice(0, half), send);
      await this.#ask(items.slice(half), send);
    }
  }
}
