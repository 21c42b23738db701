import { checkKnownKeys, encodeSubject, OptionsError, type Key, type KeySpace } from '@redstart/redis-core';

/** Which code understands a value: its shape, or what its key means. A positive integer, or a word. */
export type CacheVersion = number | string;

/** What keys of a namespace may differ by. */
export interface NamespaceOptions {
  /** Values of one version are not seen by the others: see {@link CacheVersion}. @default none */
  version?: CacheVersion | undefined;
}

/** The Redis keys of one cached value: one hash tag, so every script stays in one slot. */
export class EntryKeys {
  readonly #at: (part?: string) => string;
  readonly #leaseOf: (value: string) => string;
  readonly #pendingOf: (value: string) => string;
  /** STRING  the entry (see `entry/envelope.ts`), PX = ttl and whatever it may be served for afterwards */
  readonly value: string;
  #lease: string | undefined;

  constructor(at: (part?: string) => string, leaseOf: (value: string) => string, pendingOf: (value: string) => string) {
    this.#at = at;
    this.#leaseOf = leaseOf;
    this.#pendingOf = pendingOf;
    this.value = at();
  }

  /**
   * STRING  the load under way (see `scripts/lease.script.ts`), PX = lease. Whoever changes or deletes the value deletes it, too. Not below the cache's prefix: nobody's near tier
   * is to hear of every load.
   */
  get lease(): string {
    return (this.#lease ??= this.#leaseOf(this.value));
  }

  /**
   * STRING  what is to be written behind, or has been (see `write-behind/pending.script.ts`), PX = a week, or an hour once it has been written. `deleteByPrefix` leaves it. Of no
   * version: whichever process writes it behind, all write to one store.
   */
  get pending(): string {
    return this.#pendingOf(this.value);
  }

  /** channel, nothing is stored: where the end of a load is told, with sharded Pub/Sub. */
  get wake(): string {
    return this.#at('wake');
  }

  /** How the value is named in a log, where nothing personal belongs: of a key of several parts by the first, of another by none. */
  get shown(): string {
    const { value } = this;
    const subject = value.indexOf('{') + 1;
    const end = value.indexOf(':', subject) + 1;
    return `${value.slice(0, Math.max(subject, end))}…}`; // shop:cache:{flight:…}, shop:cache:users:{…}
  }
}

/** A tag as entries name it, and where its version is. */
export interface TagKey {
  /** Escaped; a plain tag is the same as it was written. */
  readonly name: string;
  /** STRING  version (see `tags/version.ts`), PX = the version's ttl */
  readonly key: string;
}

/** What some keys begin with. */
export interface Beginning {
  /** All of them, and perhaps others. */
  readonly text: string;
  has(redisKey: string): boolean;
}

/** Makes every subject too long to be written out. */
const tooLong = 'x'.repeat(1024);
/** What stands in such a key between its readable beginning and its hash. */
const shortenedMark = '%#';

/** @param shortened what else they may begin with, if the mark follows */
function beginning(whole: string, shortened = whole): Beginning {
  const has = (key: string) => key.startsWith(whole) || key.startsWith(`${shortened}${shortenedMark}`);
  return { text: shortened, has };
}

/** Keys and channels of one cache that are about the coherence of its near tiers. */
export interface CoherenceKeys {
  /** What every key of the cache, its namespaces included, begins with. */
  readonly prefix: string;
  /** STRING  empty; written to find out whether that is announced, PX = 1 second. The number leads it to one cluster slot or another. */
  canary(number: number): string;
  /** Channel on which processes tell each other what they have changed. */
  readonly changes: string;
  /** Channel in the same slot on which a process hears itself. */
  echo(process: string): string;
}

/** Every Redis key of one cache, or of one namespace of it. */
export class CacheKeys {
  readonly #space: KeySpace;
  readonly #cache: string;
  readonly #area: string;
  /** The area without the versions in it, where everything is that concerns the values of all of them. */
  readonly #common: string;
  readonly #leaseOf: (value: string) => string;
  readonly #pendingOf: (value: string) => string;
  /**
   * STRING  the versions that `clear` raises, PX = the version's ttl: of the cache itself, then of each namespace on the way here, whichever {@link CacheVersion} its
   * values are of. No value has a key without braces, so none of them meets one.
   */
  readonly versions: readonly string[];

  private constructor(space: KeySpace, cache: string, area: string, common: string, versions: readonly string[]) {
    this.#space = space;
    this.#cache = cache;
    this.#area = area;
    this.#common = common;
    const beforeCache = `${space.namespace}:cache`.length;
    this.#leaseOf = (value) => `${value.slice(0, beforeCache)}-lease${value.slice(beforeCache)}`; // shop:cache-lease:{flight:42}
    this.#pendingOf = (value) => `${this.#in(common)}${value.slice(this.#in(area).length)}:pending`; // shop:cache:flights:{LH1}:pending
    this.versions = versions;
  }

  /** @param name the cache's; the one called `default` is not named in its keys */
  static of(space: KeySpace, name: string): CacheKeys {
    const cache = name === 'default' ? 'cache' : `cache@${name}`;
    return new CacheKeys(space, cache, cache, cache, [space.untagged(cache, 'version')]); // shop:cache:version
  }

  /** channel, nothing is stored: where the end of every load of the cache is told, without sharded Pub/Sub. */
  get wake(): string {
    return this.#space.untagged(this.#cache, 'wake'); // shop:cache:wake
  }

  /** Of which of {@link versions} a namespace is cleared: its own. */
  get version(): string {
    return this.versions[this.versions.length - 1] ?? '';
  }

  /** @throws InvalidKeyError */
  entry(key: Key): EntryKeys {
    return new EntryKeys(this.#space.tagged(this.#area, key), this.#leaseOf, this.#pendingOf); // shop:cache:{flight:42}, shop:cache@sessions:users:{42}
  }

  /** Tags are the cache's: its namespaces share them. A companion key, so that no value of any namespace has its name. @throws InvalidKeyError */
  tag(tag: Key): TagKey {
    return this.tagNamed(encodeSubject(tag));
  }

  /** By the name that an entry holds. */
  tagNamed(name: string): TagKey {
    return { name, key: `${this.#space.namespace}:${this.#cache}:{${name}}:tag` }; // shop:cache:{airline:LH}:tag
  }

  /**
   * What the keys of all values begin with whose subject begins with `prefix`, and of their companions; and of their leases.
   *
   * Of a key that is too long to be written out only the beginning can be read. With a prefix that is longer than that, all such keys are meant that begin like it as far as can be
   * seen: to delete a cached value too many costs a load.
   *
   * @throws InvalidKeyError
   */
  beginnings(prefix: Key): { readonly values: Beginning; readonly leases: Beginning } {
    const at = (subject: Key) => this.#space.tagged(this.#area, subject)().slice(0, -1); // shop:cache:{flight:
    const whole = at(prefix);
    const long = at(typeof prefix === 'object' ? [...prefix, tooLong] : `${prefix}${tooLong}`);
    const shortened = long.slice(0, long.lastIndexOf(shortenedMark));
    if (shortened.startsWith(whole)) return { values: beginning(whole), leases: beginning(this.#leaseOf(whole)) };
    const leaseOf = this.#leaseOf;
    return { values: beginning(whole, shortened), leases: beginning(leaseOf(whole), leaseOf(shortened)) };
  }

  /** What the keys of all values begin with, without those of the namespaces in this one. */
  get values(): string {
    return this.#in(this.#area); // shop:cache:{
  }

  #in(area: string): string {
    return this.#space.tagged(area, 'x')().slice(0, -'x}'.length);
  }

  /** The key of a value as text, such that it leads to the same Redis key; `undefined` for one that was too long to be written out, and for what is no value. */
  textOf(redisKey: string): string | undefined {
    const { values } = this;
    if (!redisKey.startsWith(values) || !redisKey.endsWith('}') || redisKey.includes(shortenedMark)) return undefined;
    return decodeURIComponent(redisKey.slice(values.length, -1));
  }

  /** For the whole cache, whichever of its namespaces is asked. */
  coherence(): CoherenceKeys {
    const near = this.#space.tagged(this.#cache, 'near'); // shop:cache:{near}:changes
    return {
      prefix: near().slice(0, -'{near}'.length), // shop:cache:
      canary: (number) => this.#space.tagged(this.#cache, ['near', number])('canary'), // shop:cache:{near:7}:canary
      changes: near('changes'),
      echo: (process) => near(`echo-${process}`),
    };
  }

  /** Keys that none outside the namespace can equal. `a:b` is the namespace `b` of the namespace `a`. @throws OptionsError */
  namespace(name: string, options: NamespaceOptions = {}): CacheKeys {
    checkKnownKeys(options, ['version'], 'namespace');
    if (typeof name !== 'string' || name.split(':').includes('')) {
      throw new OptionsError('namespace(name)', "expected a non-empty name, such as 'users' or 'users:admins'.");
    }
    return name
      .split(':')
      .reduce<CacheKeys>((keys, part) => keys.#within(part), this)
      .versioned(options.version);
  }

  /**
   * Keys of values that no other version sees; those of all versions are cleared together. No namespace has an empty name, so none has the keys of a version.
   *
   * @throws OptionsError
   */
  versioned(version: CacheVersion | undefined): CacheKeys {
    if (version === undefined) return this;
    const area = `${this.#area}::${checkVersion(version, 'namespace.version')}`; // shop:cache:flights::2:{LH1}
    return new CacheKeys(this.#space, this.#cache, area, this.#common, this.versions);
  }

  #within(part: string): CacheKeys {
    const common = `${this.#common}:${part}`;
    const versions = [...this.versions, this.#space.untagged(common, 'version')]; // shop:cache:users:version
    return new CacheKeys(this.#space, this.#cache, `${this.#area}:${part}`, common, versions);
  }
}

/** What a word may consist of: nothing that separates the parts of a key. */
const word = /^[\w.-]{1,32}$/;

/** @returns it as text: `2` and `'2'` are one version @throws OptionsError */
export function checkVersion(version: unknown, option: string): string {
  const fits =
    typeof version === 'number'
      ? Number.isSafeInteger(version) && version > 0
      : typeof version === 'string' && word.test(version);
  if (fits) return String(version);
  const given = typeof version === 'number' || typeof version === 'string' ? version : typeof version;
  throw new OptionsError(
    option,
    `got ${JSON.stringify(given).slice(0, 60)}; expected a positive integer, or up to 32 letters, digits, '.', '-' and '_', such as 2 or '2026-11'.`,
  );
}
