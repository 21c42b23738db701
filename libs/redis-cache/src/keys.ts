import type { Key, KeySpace } from '@redstart/redis-core';

/** The Redis keys of one cached value: one hash tag, so every script stays in one slot. */
export interface EntryKeys {
  /** STRING  the entry (see `entry/envelope.ts`), PX = ttl */
  readonly value: string;
  /** STRING  token of the load under way, PX = lease. Whoever changes or deletes the value deletes it, too. */
  readonly lease: string;
}

/** Every Redis key of one cache, or of one namespace of it. */
export class CacheKeys {
  readonly #space: KeySpace;
  readonly #area: string;

  private constructor(space: KeySpace, area: string) {
    this.#space = space;
    this.#area = area;
  }

  /** @param name the cache's; the one called `default` is not named in its keys */
  static of(space: KeySpace, name: string): CacheKeys {
    return new CacheKeys(space, name === 'default' ? 'cache' : `cache@${name}`);
  }

  /** @throws InvalidKeyError */
  entry(key: Key): EntryKeys {
    const at = this.#space.tagged(this.#area, key); // shop:cache:{flight:42}, shop:cache@sessions:users:{42}
    return { value: at(), lease: at('lease') };
  }

  /** Keys that none outside the namespace can equal. */
  namespace(name: string): CacheKeys {
    return new CacheKeys(this.#space, `${this.#area}:${name}`);
  }
}
