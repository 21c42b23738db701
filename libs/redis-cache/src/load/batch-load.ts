import type { Flight } from '../flight/flight.js';
import type { LoadContext } from './load-context.js';

/** Loads what is missing of many values, in the order of the keys. */
export type BatchLoader<K, T> = (missing: K[], context: LoadContext) => readonly T[] | Promise<readonly T[]>;

interface Wanted<K> {
  readonly key: K;
  readonly context: LoadContext;
  readonly flight: Flight;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Gathers the loads of many keys into one.
 *
 * - *gathering*: until every key has said whether it is to be loaded here. Those that are found, or that another call or process loads, say no.
 * - *gathered*: the loader has been run for the others. What comes later (another process has failed, or was killed) is gathered for one turn of the event loop.
 */
export class BatchLoad<K, T> {
  readonly #undecided: Set<K>;
  readonly #places: ReadonlyMap<K, number>;
  #wanted: Wanted<K>[] = [];
  #scheduled = false;

  constructor(
    keys: readonly K[],
    private readonly loader: BatchLoader<K, T>,
    private readonly run: (flights: readonly Flight[], load: () => Promise<unknown>) => Promise<unknown>,
  ) {
    this.#undecided = new Set(keys);
    this.#places = new Map(keys.map((key, index) => [key, index]));
  }

  load(key: K, context: LoadContext, flight: Flight): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#wanted.push({ key, context, flight, resolve, reject });
      this.decide(key);
    });
  }

  /** A key is not to be loaded here, for now at least. */
  decide(key: K): void {
    const gathering = this.#undecided.delete(key);
    if (this.#undecided.size > 0 || this.#wanted.length === 0) return;
    if (gathering) {
      this.#dispatch();
      return;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#dispatch();
    });
  }

  /** The answers of Redis come in any order; the loader gets its keys in that of the call. */
  #place(key: K): number {
    return this.#places.get(key) ?? 0;
  }

  #dispatch(): void {
    const wanted = this.#wanted.toSorted((one, other) => this.#place(one.key) - this.#place(other.key));
    this.#wanted = [];
    if (wanted.length === 0) return;
    const flights = wanted.map(({ flight }) => flight);
    this.run(flights, async () => {
      const values: readonly T[] = await this.loader(
        wanted.map(({ key }) => key),
        contextOfAll(wanted.map(({ context }) => context)),
      );
      return checkLoaded(values, wanted.length);
    }).then(
      (values) => {
        const loaded = values as readonly T[];
        wanted.forEach(({ resolve }, index) => {
          resolve(loaded[index]);
        });
      },
      (error: unknown) => {
        for (const { reject } of wanted) reject(error);
      },
    );
  }
}

/** @throws TypeError unless there is one value for each key */
export function checkLoaded<T>(values: readonly T[], keys: number): readonly T[] {
  if (hasLength(values, keys)) return values;
  throw new TypeError(
    `The loader of getOrSetMany was given ${keys} keys and has to return an array of as many values, in their order.`,
  );
}

/** The loader is the user's: without types it may return anything. */
function hasLength(values: unknown, length: number): boolean {
  return Array.isArray(values) && values.length === length;
}

/** What is said of a batch holds for each of its values. */
function contextOfAll(contexts: readonly LoadContext[]): LoadContext {
  return {
    staleValue: undefined,
    setTtl: (ttl) => {
      for (const context of contexts) context.setTtl(ttl);
    },
    addTags: (...tags) => {
      for (const context of contexts) context.addTags(...tags);
    },
    skipCache: () => {
      for (const context of contexts) context.skipCache();
    },
  };
}
