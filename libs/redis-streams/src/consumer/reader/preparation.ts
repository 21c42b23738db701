import { backoffMs, pause } from '../pause.js';
import type { Source } from '../source.js';
import type { PartReading } from './part-reading.js';
import type { PauseWatch } from './pause-watch.js';
import type { ReaderContext } from './read-connection.js';
import { resume } from './resuming.js';

/** A key of the wrong type is tried again after so many block periods. */
const refusedPeriods = 6;
const largestResumption = 200;

/**
 * Makes one part readable within a session.
 *
 * It creates the groups that are missing, takes up what was delivered to this consumer but never arrived, of a partition what was delivered to anybody (*resuming*), as slots become free and unless the group is paused, and admits the streams. When that fails it tries again, 50 ms later
 * at first and 2 s at most. A stream whose key holds something else is left out, loudly, and tried again every six block periods; the others are read meanwhile. It ends when all streams are admitted, or it is aborted.
 */
export class Preparation {
  #ended: Promise<void> = Promise.resolve();
  readonly #context: ReaderContext;
  readonly #part: PartReading;
  readonly #pauses: PauseWatch;
  readonly #onReadable: () => void;
  readonly #aborted = new AbortController();

  /** @param onReadable told when a stream was admitted */
  constructor(context: ReaderContext, part: PartReading, pauses: PauseWatch, onReadable: () => void) {
    this.#context = context;
    this.#part = part;
    this.#pauses = pauses;
    this.#onReadable = onReadable;
  }

  get signal(): AbortSignal {
    return this.#aborted.signal;
  }

  /** Resolves when nothing of it is under way any more. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /**
   * @param known streams in which everything that was delivered has arrived
   * @param after what has to end before: an earlier preparation of the part would take up the same entries
   */
  start(known: readonly Source[], after: Promise<unknown> = Promise.resolve()): void {
    this.#ended = after.then(() => this.#run(known));
  }

  abort(): void {
    this.#aborted.abort();
  }

  #isAborted(): boolean {
    return this.signal.aborted;
  }

  /** Never rejects. */
  async #run(known: readonly Source[]): Promise<void> {
    const { clock } = this.#context.connection;
    for (let failures = 0; !this.#isAborted();) {
      this.#part.begin();
      const prepared = await this.#prepare(known).catch((error: unknown) => {
        this.#part.report(error);
        return false;
      });
      this.#part.end(prepared);
      if (this.#isAborted()) return;
      this.#onReadable();
      if (prepared && !this.#part.refused) return;
      failures = prepared ? 0 : failures + 1;
      const waitMs = prepared ? refusedPeriods * this.#context.options.blockMs : backoffMs(failures);
      await pause(clock, waitMs, this.signal);
    }
  }

  /** @returns whether it came to its end */
  async #prepare(known: readonly Source[]): Promise<boolean> {
    const found = await this.#part.ensureGroups();
    for (const source of found) {
      if (!known.includes(source) && !this.#part.readable.includes(source)) await this.#resume(source);
    }
    if (this.#isAborted()) return false;
    for (const source of found) this.#part.admit(source);
    return true;
  }

  /** Takes up what was delivered to us in replies that never arrived. */
  async #resume(source: Source): Promise<void> {
    for (;;) {
      await this.#part.whenFree(this.signal);
      await this.#pauses.known();
      await this.#part.whenResumed(this.signal);
      if (this.#isAborted()) return;
      const { free, freeBytes: bytes } = this.#part;
      const count = Math.min(free, largestResumption);
      if (count === 0 || bytes <= 0) continue;
      const askedAt = this.#context.connection.clock.now();
      const { entries, more, denied } = await resume(this.#context, this.#part, source, { count, bytes });
      this.#part.accept(source, entries, askedAt);
      if (denied) this.abort();
      if (denied || !more) return;
    }
  }
}
