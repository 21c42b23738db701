/**
 * What a storm is chosen by: `REDSTART_STREAMS_SEED`, so that a choice can be had again; without it, another one each time.
 *
 * @throws RangeError when the variable is set to anything but an integer from 0 to 2^32 - 1
 */
export function chaosSeed(variable = process.env['REDSTART_STREAMS_SEED'] ?? ''): number {
  if (variable === '') return Math.floor(Math.random() * 2 ** 32);
  const seed = Number(variable);
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new RangeError(`REDSTART_STREAMS_SEED: expected an integer from 0 to ${2 ** 32 - 1}, got "${variable}".`);
  }
  return seed;
}

/** Numbers from 0 up to 1, the same ones for the same seed: mulberry32. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  among<T>(things: readonly [T, ...T[]]): T {
    return things[Math.floor(this.next() * things.length)] ?? things[0];
  }
}
