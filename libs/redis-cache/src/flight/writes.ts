/** One `set` that is on its way to Redis. */
export type Write = symbol;

/**
 * The order of the calls to `set` and `delete` of one process. Packing a large value takes a while, so what was called first may be ready last:
 * it is then not sent any more.
 */
export class Writes {
  readonly #latest = new Map<string, Write>();

  begin(key: string): Write {
    const write = Symbol();
    this.#latest.set(key, write);
    return write;
  }

  /** Whether nothing has been set or deleted since. */
  isLatest(key: string, write: Write): boolean {
    return this.#latest.get(key) === write;
  }

  end(key: string, write: Write): void {
    if (this.isLatest(key, write)) this.#latest.delete(key);
  }

  /** Something newer has been called: what is being packed must not follow it. */
  outdate(key: string): void {
    this.#latest.delete(key);
  }
}
