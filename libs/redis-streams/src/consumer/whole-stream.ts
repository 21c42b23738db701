import type { StreamKeys } from '../keys.js';
import type { HeldEntry } from './held-entry.js';
import { StreamPart, type PartContext } from './stream-part.js';

/** A stream without partitions, which all members of the group read together. */
export class WholeStream {
  readonly parts: readonly StreamPart[];
  readonly #part: StreamPart;

  constructor(context: PartContext, keys: StreamKeys) {
    this.#part = new StreamPart(context, keys, undefined, {
      ownership: undefined,
      holds: () => true,
      lasts: () => true,
    });
    this.parts = [this.#part];
  }

  start(): Promise<void> {
    return this.#part.start();
  }

  stop(): Promise<void> {
    return this.#part.stop();
  }

  leave(stillRunning: readonly HeldEntry[]): Promise<void> {
    return this.#part.leave(stillRunning);
  }
}
