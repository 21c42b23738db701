import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger } from '../ledger/ledger.js';

const everyMs = 100;
/** Not nothing: what is published behind a fault has to arrive as well. */
const shareBehind = 0.1;

/**
 * How fast the messages of a wave may be published: as ordered, or a tenth of that while the consumers are behind, as they are on a machine that is busy with other things. A backlog that grows would only prove
 * that it takes its time, and take the processor from those who have leases to renew. From construction to `rest`.
 */
export class Pace {
  readonly #resting = new AbortController();
  readonly #ended: Promise<void>;
  #share = 1;

  /** @param mostBehind so many messages may wait for their handlers */
  constructor(
    private readonly ledger: Ledger,
    private readonly wave: string,
    private readonly mostBehind: number,
  ) {
    this.#ended = this.#watch();
  }

  /** Which part of the ordered pace may be kept. */
  get share(): number {
    return this.#share;
  }

  /** Resolves between two messages that come so long after each other at the ordered pace. */
  async pause(ms: number): Promise<void> {
    await sleep(ms / this.#share);
  }

  async rest(): Promise<void> {
    this.#resting.abort();
    await this.#ended;
  }

  async #watch(): Promise<void> {
    while (!this.#resting.signal.aborted) {
      this.#share = (await this.ledger.behind(this.wave)) > this.mostBehind ? shareBehind : 1;
      await sleep(everyMs);
    }
  }
}
