import { backoffMs, pause } from '../pause.js';
import type { Reporter } from '../reporter.js';
import type { PartReading } from './part-reading.js';
import type { PauseWatch } from './pause-watch.js';
import type { ReaderContext } from './read-connection.js';
import { ReadSession } from './read-session.js';

/** No network keeps what was sent for longer: TCP gives up after a quarter of an hour. */
const longestDelayMs = 20 * 60_000;

/**
 * Reads new entries for one group, of all streams and partitions in one slot together (so, where there are no slots, of all), over one connection of its own.
 *
 * It *rests* while no part takes part in it, and has no connection. From the first `join` to the last `leave` it works in *sessions*, each with a fresh connection. Anything that goes wrong with the connection or the server ends the
 * session: a broken connection, a read that outlasts its time, MOVED or ASK when the streams go to another master, LOADING, UNBLOCKED after a failover. A connection
 * that broke is never used again, since ioredis would repeat the read and hide that a reply was lost. Then the reader *backs off*, 50 ms at first and 2 s at most until
 * a read succeeds again, and begins the next session. So there is one way to recover, and no error that ends the reading. What is wrong with one stream alone (its group is gone, its key holds something else) ends no session.
 */
export class GroupReader {
  readonly pauses: PauseWatch;
  readonly #context: ReaderContext;
  readonly #reporter: Reporter;
  readonly #parts = new Set<PartReading>();
  #failures = 0;
  /** By the local clock, until when a read of an earlier connection may be carried out late: its answer is not known. */
  #uncertainUntil = -Infinity;
  #session: ReadSession | undefined;
  /** Aborts when nobody takes part any more. */
  #resting = new AbortController();
  #running = false;
  /** Resolves when the connection of the present session is closed. */
  #sessionEnded: Promise<unknown> = Promise.resolve();

  constructor(context: ReaderContext, pauses: PauseWatch, reporter: Reporter) {
    this.pauses = pauses;
    this.#context = context;
    this.#reporter = reporter;
  }

  /** Takes a part in. Its reading begins as soon as it is prepared. */
  join(part: PartReading): void {
    this.#parts.add(part);
    this.#session?.add(part);
    if (this.#resting.signal.aborted) this.#resting = new AbortController();
    if (!this.#running) void this.#run();
  }

  /** No read of the part begins any more, and one that is under way ends. Resolves at once; of the last part, when the connection is closed. */
  async leave(part: PartReading): Promise<void> {
    this.#parts.delete(part);
    this.#session?.remove(part);
    if (this.#parts.size > 0) return;
    this.#resting.abort();
    await this.#sessionEnded;
  }

  /** Ends a read of the part that is under way. */
  interrupt(part: PartReading): void {
    this.#session?.interrupt(part);
  }

  /** Takes up what is pending of the part, before anything else is read of it. */
  refresh(part: PartReading): void {
    this.#session?.refresh(part);
  }

  /** Reads the part, if it may be read again. */
  consider(part: PartReading): void {
    this.#session?.consider(part);
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#parts.size > 0) {
      const session = this.#runSession().catch((error: unknown) => error);
      this.#sessionEnded = session;
      const failure = await session;
      if (failure !== undefined) this.#uncertainUntil = this.#context.connection.clock.now() + longestDelayMs;
      if (this.#parts.size === 0) break;
      if (failure === undefined) continue;
      this.#failures += 1;
      this.#report(failure);
      await pause(this.#context.connection.clock, backoffMs(this.#failures), this.#resting.signal);
    }
    this.#running = false;
  }

  /** Resolves when nobody takes part any more; whatever else ends a session is its rejection. */
  async #runSession(): Promise<void> {
    const uncertain = () => this.#context.connection.clock.now() < this.#uncertainUntil;
    const session = new ReadSession(this.#context, this.pauses, [...this.#parts], uncertain, {
      onRead: () => {
        this.#failures = 0;
      },
      onRefused: (error) => {
        this.#report(error);
      },
    });
    this.#session = session;
    try {
      await session.run();
    } finally {
      this.#session = undefined;
      await session.close();
    }
  }

  #report(error: unknown): void {
    this.#reporter.error(`reading for the group "${this.#context.group}"; it is tried again`, error);
  }
}
