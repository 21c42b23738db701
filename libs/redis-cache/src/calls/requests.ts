import { OptionsError, type Clock, type Key } from '@redstart/redis-core';
import type { ResolvedCacheOptions } from '../cache.options.js';
import { mostTags } from '../flight/landings.js';
import type { Caller, LoadRequest } from '../flight/load-request.js';
import type { CacheKeys, TagKey } from '../keys.js';
import { resolveLoadOptions } from '../load/load.options.js';
import { WaitBudget } from '../store/budget.js';
import type { ReadRequest } from '../store/reader.js';
import { takesStale, type GetOrSetOptions, type ReadOptions, type SelectiveLoadOptions } from './call.options.js';
import { areKeys, checkSchema } from './check-options.js';

const noTags: readonly TagKey[] = Object.freeze([]);
const never = () => false;

/** Turns what a caller has said into what is asked of the parts of a cache: its keys, its options, its budget. */
export class Requests {
  constructor(
    readonly keys: CacheKeys,
    private readonly options: ResolvedCacheOptions,
    private readonly clock: Clock,
  ) {}

  /** @throws InvalidKeyError · OptionsError */
  read(key: Key, { tags, schema }: { [name in keyof ReadOptions]: ReadOptions[name] | undefined }): ReadRequest {
    const { keys } = this;
    const at = keys.entry(key);
    checkSchema(schema);
    if (tags === undefined) return { at, keys, tags: noTags, versionKeys: keys.versions, schema };
    const named = this.#tags(tags);
    return { at, keys, tags: named, versionKeys: [...keys.versions, ...named.map((tag) => tag.key)], schema };
  }

  /** The read that comes before a load. @throws InvalidKeyError · OptionsError */
  readFor<T>(key: Key, { tags, schema }: GetOrSetOptions<T>): ReadRequest {
    return this.read(key, { tags: typeof tags === 'function' ? undefined : tags, schema });
  }

  /** @throws OptionsError */
  load<T>(
    read: ReadRequest,
    options: SelectiveLoadOptions<T>,
    load: LoadRequest['load'],
    onPause?: LoadRequest['onPause'],
  ): LoadRequest {
    const { at, keys, tags, versionKeys, schema } = read;
    const { tags: said, unless, sliding } = options;
    // Field by field: a spread, and closures for what is not asked for, take longer than all the rest.
    return {
      at,
      keys,
      tags,
      versionKeys,
      schema,
      options: isEmpty(options) ? this.options : resolveLoadOptions(options, this.options),
      sliding: sliding === true,
      load,
      unless: unless === undefined ? never : (value) => unless(value as T),
      tagsOf: typeof said === 'function' ? (value) => this.#tags(said(value as T)) : undefined,
      takesStale: options[takesStale],
      onPause,
    };
  }

  caller({ signal }: { signal?: AbortSignal }): Caller {
    return { since: this.clock.now(), signal };
  }

  budget(): WaitBudget {
    return new WaitBudget(this.clock, this.options.budgetMs);
  }

  #tags(tags: readonly Key[]): TagKey[] {
    if (!areKeys(tags) || tags.length > mostTags) {
      throw new OptionsError('tags', `expected an array of at most ${mostTags} tags.`);
    }
    const named = new Map(tags.map((tag) => this.keys.tag(tag)).map((tag) => [tag.name, tag]));
    return [...named.values()];
  }
}

function isEmpty(options: object): boolean {
  for (const _ in options) return false;
  return true;
}
