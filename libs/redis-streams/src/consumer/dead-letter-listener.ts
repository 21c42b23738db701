import { readDeadLetter } from '../admin/dead-letter.js';
import type { RawEntry } from '../message/envelope.js';
import type { PayloadCodec } from '../message/payload-codec.js';
import type { Invoke } from './handler-factory.js';
import type { Reporter } from './reporter.js';
import type { Source } from './source.js';

/** Calls the method with `@OnDeadLetter` of a consumer. What it fails with is reported, and changes nothing. */
export class DeadLetterListener {
  readonly #name: string;
  readonly #invoke: Invoke;
  readonly #codec: PayloadCodec;
  readonly #reporter: Reporter;
  /** Told when a call has ended. */
  onIdle: () => void = () => undefined;
  #running = 0;

  constructor(listener: { readonly name: string; readonly invoke: Invoke }, codec: PayloadCodec, reporter: Reporter) {
    this.#name = listener.name;
    this.#invoke = listener.invoke;
    this.#codec = codec;
    this.#reporter = reporter;
  }

  readonly tell = (entry: RawEntry, source: Source): void => {
    this.#running += 1;
    void this.#tell(entry, source);
  };

  /** Whether no call is under way. */
  get idle(): boolean {
    return this.#running === 0;
  }

  /** Never rejects: what goes wrong is reported, and the message is a dead letter all the same. */
  async #tell(entry: RawEntry, source: Source): Promise<void> {
    try {
      const letter = await readDeadLetter(entry, source.prefix, this.#codec);
      await this.#invoke(letter, letter);
    } catch (error) {
      this.#reporter.error(`${this.#name} was told of the dead letter ${entry.id}`, error);
    } finally {
      this.#running -= 1;
      this.onIdle();
    }
  }
}
