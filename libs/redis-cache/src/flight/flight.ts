import type { SeenVersions } from '../store/reader.js';
import { sameVersion } from '../tags/version.js';

/** What a flight brought. */
export interface Landing {
  /** What its first caller gets: the loader's own object. */
  readonly value: unknown;
  /** Who else may have it: all who have seen the versions that it was loaded under, only those that had asked before the loader started, or none. */
  readonly sharedWith: 'all' | 'early' | 'none';
  /** A copy for a caller who shares the load, so that no two callers change one object. */
  readonly copy: () => unknown;
  /** What the value hangs on; `undefined` when nobody knows. */
  readonly under?: LoadedUnder | undefined;
}

/** The versions under which a value was loaded. */
export interface LoadedUnder {
  readonly keys: readonly string[];
  /** In the order of `keys`. */
  readonly versions: SeenVersions;
}

/** Whether nothing has changed between the versions of a load and what its late caller has seen of them. */
export function isAsSeen(under: LoadedUnder | undefined, seen: SeenVersions | undefined): boolean {
  if (under === undefined || seen === undefined) return false; // Redis has not answered one of them: nobody can tell.
  return (
    under.versions.length === seen.length && under.versions.every((version, index) => sameVersion(version, seen[index]))
  );
}

/** It brought nothing: whoever was on it looks for himself. */
export type Aborted = 'look-again';

/**
 * One load of one value, shared by the callers of this process.
 *
 * - *opening*: asks Redis for the lease, and waits while another process has it. The loader has not started, so whoever has asked until now asked before it read anything.
 * - *loading*: the loader runs. Whoever asks from now on may have asked after an invalidation that the loader has not seen.
 * - *landing*: the value goes to Redis, which tells whether it is still fresh.
 * - *landed*: out of the map, before any of its callers goes on; a later call opens another flight.
 *
 * A `set` or `delete` in this process takes a flight out of the map at once (*superseded*): nobody joins it any more, and its value isn't stored. One that takes
 * longer than somebody would wait is taken out as well, and may still be stored.
 */
export class Flight {
  /** When the loader started, or the value of another process was asked for, on the clock of this one. */
  loadingAt = Infinity;
  #superseded = false;
  /** The flights that loaders of this one wait for: what would show a circle. */
  #waitsFor: Set<Flight> | undefined;
  #landing: Promise<Landing | Aborted> | undefined;

  constructor(readonly key: string) {}

  get superseded(): boolean {
    return this.#superseded;
  }

  supersede(): void {
    this.#superseded = true;
  }

  /** @param landed is called when it has, before any of its callers goes on */
  start(landing: Promise<Landing | Aborted>, landed: () => void): void {
    this.#landing = landing;
    // A Map that is written to all the time holds on to what has left it until the next major collection: that is to be little, and not what was loaded.
    const end = () => {
      landed();
      this.#landing = undefined;
    };
    // Its callers hear of a failure; that there might be none of them any more is no reason to end the process.
    landing.then(end, end);
  }

  landing(): Promise<Landing | Aborted> {
    return this.#landing ?? Promise.reject(new TypeError('A flight was joined before its start or after its end.'));
  }

  /** Waits for it on behalf of the loader of another flight, if there is one. */
  landingFor(waiter: Flight | undefined): Promise<Landing | Aborted> {
    return waiter === undefined ? this.landing() : this.#holdUp(waiter);
  }

  async #holdUp(waiter: Flight): Promise<Landing | Aborted> {
    waiter.waitFor(this);
    try {
      return await this.landing();
    } finally {
      waiter.#waitsFor?.delete(this);
    }
  }

  /** It can't end before another one has, until it has itself. */
  waitFor(other: Flight): void {
    this.#waitsFor ??= new Set();
    this.#waitsFor.add(other);
  }

  /** Whether it can't end before `other` has. */
  dependsOn(other: Flight, seen = new Set<Flight>()): boolean {
    if (this === other) return true;
    seen.add(this);
    return [...(this.#waitsFor ?? [])].some((next) => !seen.has(next) && next.dependsOn(other, seen));
  }
}
