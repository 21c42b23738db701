/** How a flight ended. */
export interface Landing {
  /** What its first caller gets: the loader's own object. */
  readonly value: unknown;
  /** Who else may have it: all, only those that were there before the loader started, or none. */
  readonly sharedWith: 'all' | 'early' | 'none';
  /** A copy for a caller who shares the load, so that no two callers change one object. */
  readonly copy: () => unknown;
}

/**
 * One load of one value, shared by the callers of this process.
 *
 * - *opening*: asks Redis for the lease. The loader has not started, so whoever joins now asked before it read anything.
 * - *loading*: the loader runs. Whoever joins now may have asked after a deletion that the loader has not seen.
 * - *landing*: the value goes to Redis, which tells whether it is still fresh.
 * - *landed*: out of the map, before any of its callers goes on; a later call opens another flight.
 *
 * A `set` or `delete` in this process takes a flight out of the map at once (*superseded*): nobody joins it any more, and its value isn't stored.
 */
export class Flight {
  loading = false;
  #superseded = false;
  /** The flights that loaders of this one wait for: what would show a circle. */
  readonly #waitsFor = new Set<Flight>();
  #landing: Promise<Landing> | undefined;

  constructor(readonly key: string) {}

  get superseded(): boolean {
    return this.#superseded;
  }

  supersede(): void {
    this.#superseded = true;
  }

  start(run: () => Promise<Landing>): void {
    this.#landing = run();
    // Its callers hear of a failure; that there might be none of them any more is no reason to end the process.
    this.#landing.catch(() => undefined);
  }

  async landing(): Promise<Landing> {
    if (this.#landing === undefined) throw new TypeError('A flight was joined before it started.');
    return this.#landing;
  }

  /** Waits for it on behalf of the loader of another flight, if there is one. */
  async landingFor(waiter: Flight | undefined): Promise<Landing> {
    if (waiter === undefined) return this.landing();
    waiter.#waitsFor.add(this);
    try {
      return await this.landing();
    } finally {
      waiter.#waitsFor.delete(this);
    }
  }

  /** Whether it can't end before `other` has. */
  dependsOn(other: Flight, seen = new Set<Flight>()): boolean {
    if (this === other) return true;
    seen.add(this);
    return [...this.#waitsFor].some((next) => !seen.has(next) && next.dependsOn(other, seen));
  }
}
