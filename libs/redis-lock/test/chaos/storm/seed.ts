/**
 * What the faults of a storm are chosen by: `LOCK_CHAOS_SEED`, so that a choice can be had again; without it, another one each time.
 *
 * @throws RangeError when the variable is set to anything but an integer from 0 to 2^32 - 1
 */
export function chaosSeed(variable = process.env['LOCK_CHAOS_SEED']): number {
  if (variable === undefined || variable === '') return Math.floor(Math.random() * 2 ** 32);
  const seed = Number(variable);
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new RangeError(`LOCK_CHAOS_SEED: expected an integer from 0 to ${2 ** 32 - 1}, got "${variable}".`);
  }
  return seed;
}

/** Numbers from 0 up to 1, the same ones for the same seed: mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
