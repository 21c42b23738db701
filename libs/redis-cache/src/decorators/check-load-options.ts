import { loadDefaults, resolveLoad, type LoadOptions } from '../load/load.options.js';

/** What durations allow at all; the module's `maxTtl` is known when a call is made. */
const longestTtlMs = 365 * 24 * 60 * 60_000;

/** The names of {@link LoadOptions}. */
export const loadOptionNames: readonly string[] = Object.keys(loadDefaults);

/** Refuses wrong ones where they are written, before there is a module. @throws OptionsError */
export function checkLoadOptions(raw: LoadOptions, where: string): void {
  resolveLoad(raw, longestTtlMs, (key) => `${where}.${key}`);
}
