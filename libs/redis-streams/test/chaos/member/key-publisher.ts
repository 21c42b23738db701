import type { StreamProducer } from '../../../src/index.js';
import type { Ledger } from '../ledger/ledger.js';
import type { Pace } from './pace.js';
import { publishSurely } from './publish-surely.js';
import { keysOf, type shipments } from './shipments-stream.js';

/** Between two messages of a key. */
const paceMs = 40;
/** Every so many messages of a key one fails at first. */
const failingEvery = 40;

/** Publishes the messages of some keys, each when the one before it is in the stream, from its construction to `rest`: so the order of each key is certain. */
export class KeyPublisher {
  readonly #resting = new AbortController();
  readonly #ended: Promise<unknown>;

  constructor(
    private readonly name: string,
    private readonly producer: StreamProducer<typeof shipments>,
    private readonly ledger: Ledger,
    private readonly wave: string,
    private readonly pace: Pace,
  ) {
    this.#ended = Promise.all(keysOf(this.name).map((key) => this.#run(key)));
  }

  /** Resolves when everything under way has its outcome. */
  async rest(): Promise<void> {
    this.#resting.abort();
    await this.#ended;
  }

  async #run(key: string): Promise<void> {
    for (let number = 1; !this.#resting.signal.aborted; number += 1) {
      if (!(await this.#publish(key, number))) return;
      await this.pace.pause(paceMs);
    }
  }

  /** @returns false when it failed for good */
  #publish(key: string, number: number): Promise<boolean> {
    const { wave } = this;
    const message = `${key}-${number}`;
    const fate = number % failingEvery === 7 ? ('fails once' as const) : ('works' as const);
    const payload = { wave, message, key, number, fate };
    const publish = () => this.producer.publish('shipment.moved', payload, { key, messageId: `${wave}:${message}` });
    return publishSurely(this.ledger, { wave, message, publish });
  }
}
