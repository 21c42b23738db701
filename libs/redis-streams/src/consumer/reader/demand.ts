import type { Dispatcher } from '../dispatcher.js';
import { ReadSize, type StreamReply } from './read-size.js';

/**
 * How much one consumer wants to be read at present, in all its streams together.
 *
 * What a read has brought counts from `arrive` on, before the dispatcher has it: so the next read can be begun while the entries of this one are still to be handed over.
 */
export class Demand {
  /** Whether the last read of its streams brought as many entries of one as it asked for: there may be more. */
  cutShort = false;
  readonly #dispatcher: Dispatcher;
  readonly #size = new ReadSize();
  #entries = 0;
  #bytes = 0;

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  get exists(): boolean {
    return this.#dispatcher.wanted(this.#entries) > 0 && this.#freeBytes > 0;
  }

  /**
   * @param sharers among how many consumers a reply is divided
   * @returns the COUNT of a read for it; 0 while it wants nothing
   */
  count(sharers: number): number {
    const wanted = this.#dispatcher.wanted(this.#entries);
    const freeBytes = this.#freeBytes;
    return wanted > 0 && freeBytes > 0 ? this.#size.count(wanted, freeBytes, sharers) : 0;
  }

  /** @param replies what a read has brought of its streams @param count what that asked for, of each */
  arrive(replies: readonly StreamReply[], count: number): void {
    const { entries, bytes } = this.#size.learn(replies);
    this.#entries = entries;
    this.#bytes = bytes;
    this.cutShort = replies.some((reply) => reply.entries.length >= count);
  }

  /** What arrived is with the dispatcher. */
  settle(): void {
    this.#entries = 0;
    this.#bytes = 0;
  }

  /** Resolves when there is a demand, and at the latest when the signal aborts. */
  when(signal: AbortSignal): Promise<void> {
    return this.#dispatcher.when(() => this.exists, signal);
  }

  get #freeBytes(): number {
    return this.#dispatcher.freeBytes - this.#bytes;
  }
}
