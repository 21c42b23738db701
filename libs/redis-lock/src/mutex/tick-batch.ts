interface Pending<Entry, Reply> {
  readonly entry: Entry;
  readonly resolve: (reply: Reply | Promise<Reply>) => void;
  readonly reject: (error: unknown) => void;
}

/** As many entries as one script may take, so that it never holds up the server. */
const largestBatch = 32;

/**
 * Collects what is asked for in one tick, and asks for it together where that may be.
 *
 * Entries of one group go together; one that is alone goes by itself. The batch leaves when the microtasks of the tick have run, which is when its
 * commands would leave the process anyway, or earlier when it is full.
 */
export class TickBatch<Entry, Reply> {
  #pending = new Map<string, Pending<Entry, Reply>[]>();

  /**
   * @param groupOf only entries of one group can share a script: of one slot, for instance
   * @param sendAll settles in bounded time, with one reply for each entry, some of which may take longer
   */
  constructor(
    private readonly groupOf: (entry: Entry) => string,
    private readonly sendAll: (entries: readonly Entry[]) => Promise<readonly (Reply | Promise<Reply>)[]>,
    private readonly sendOne: (entry: Entry) => Promise<Reply>,
  ) {}

  add(entry: Entry): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const pending = { entry, resolve, reject };
      const group = this.groupOf(entry);
      const batch = this.#pending.get(group);
      if (batch === undefined) {
        if (this.#pending.size === 0) process.nextTick(this.#flush);
        this.#pending.set(group, [pending]);
        return;
      }
      batch.push(pending);
      if (batch.length < largestBatch) return;
      this.#pending.set(group, []);
      this.#send(batch);
    });
  }

  readonly #flush = (): void => {
    const batches = this.#pending;
    this.#pending = new Map();
    for (const batch of batches.values()) this.#send(batch);
  };

  #send(batch: readonly Pending<Entry, Reply>[]): void {
    const [first] = batch;
    if (first === undefined) return;
    if (batch.length === 1) {
      this.sendOne(first.entry).then(first.resolve, first.reject);
      return;
    }
    this.sendAll(batch.map(({ entry }) => entry)).then(
      (replies) => {
        replies.forEach((reply, index) => {
          batch[index]?.resolve(reply);
        });
      },
      (error: unknown) => {
        for (const { reject } of batch) reject(error);
      },
    );
  }
}
