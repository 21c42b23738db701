/** Beyond, the oldest are taken for all that was forgotten until then. */
const mostKeys = 1_000;

/**
 * When keys were last forgotten: a denial that was asked for before that may be outdated when it arrives. Time is a count of the forgettings.
 *
 * Each key is remembered by itself, so that a subject whose units come back all the time keeps nobody else's denials from being believed.
 */
export class ForgottenKeys {
  /** In the order of their moments. */
  readonly #moments = new Map<string, number>();
  /** Up to here anything may have been forgotten. */
  #allUntil = 0;
  #now = 0;

  get now(): number {
    return this.#now;
  }

  forget(keys: readonly string[]): void {
    this.#now += 1;
    for (const key of keys) {
      this.#moments.delete(key);
      this.#moments.set(key, this.#now);
    }
    for (const [key, moment] of this.#moments) {
      if (this.#moments.size <= mostKeys) break;
      this.#moments.delete(key);
      this.#allUntil = moment;
    }
  }

  forgetAll(): void {
    this.#now += 1;
    this.#allUntil = this.#now;
    this.#moments.clear();
  }

  /** Whether one of these keys may have been forgotten after a moment. */
  anySince(moment: number, keys: readonly string[]): boolean {
    if (moment === this.#now) return false;
    return moment < this.#allUntil || keys.some((key) => (this.#moments.get(key) ?? 0) > moment);
  }
}
