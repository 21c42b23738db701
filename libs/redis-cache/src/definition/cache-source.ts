import { OptionsError } from '@redstart/redis-core';
import type { LoadContext } from '../load/load-context.js';

/**
 * What the values of a defined cache are loaded from and written to: a repository, or what a factory makes of one.
 *
 * `load` or `loadMany` has to be there.
 */
export interface CacheSource<Id, Value> {
  /** Loads one value. `null` and `undefined` are values, too. */
  load?(id: Id, context: LoadContext): Value | Promise<Value>;
  /** Loads many, and returns as many in their order. Without it `getOrSetMany` loads one by one; without `load` it loads single ones, too. */
  loadMany?(ids: Id[], context: LoadContext): readonly Value[] | Promise<readonly Value[]>;
  /** Writes one value, for {@link DefinedCache.write}. What it returns is ignored. */
  write?(id: Id, value: Value): unknown;
}

/** @throws OptionsError when it can't be what it is bound as */
export function checkSource(source: unknown, where: string): void {
  const made = typeof source === 'object' && source !== null ? source : {};
  for (const name of ['load', 'loadMany', 'write']) {
    const method: unknown = Reflect.get(made, name);
    if (method !== undefined && typeof method !== 'function') {
      throw new OptionsError(`${where}.${name}`, `got a value of type ${typeof method}; expected a function.`);
    }
  }
  if (typeof Reflect.get(made, 'load') === 'function' || typeof Reflect.get(made, 'loadMany') === 'function') return;
  throw new OptionsError(
    where,
    'is bound to something without load and loadMany. Let its useFactory return { load: (id) => repository.find(id) }, or bind a class with such a method.',
  );
}
