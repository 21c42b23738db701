import type { Clock } from '@redstart/redis-core';

/** More are not remembered: then it begins anew. */
const most = 10_000;

/** What is known of some values for a short time, in this process. */
export class Remembered<T> {
  readonly #known = new Map<string, { readonly what: T; readonly until: number }>();

  constructor(private readonly clock: Clock) {}

  get(key: string): T | undefined {
    const known = this.#known.get(key);
    if (known === undefined) return undefined;
    if (this.clock.now() < known.until) return known.what;
    this.#known.delete(key);
    return undefined;
  }

  delete(key: string): void {
    this.#known.delete(key);
  }

  set(key: string, what: T, forMs: number): void {
    if (forMs <= 0) return;
    if (this.#known.size >= most) this.#known.clear();
    this.#known.set(key, { what, until: this.clock.now() + forMs });
  }
}
