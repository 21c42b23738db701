import { Fault, type Way } from './fault.js';

/** How {@link FaultProxy.latency} varies. */
export interface LatencyOptions {
  /** Up to this many ms are added at random to each packet. @default 0 */
  jitter?: number;
  /** The same seed gives the same sequence of jitter. @default 1 */
  seed?: number;
  /** Delay replies, which the server has already worked for, or requests, which it has not seen yet. @default 'reply' */
  way?: Way;
}

/** Delays each packet of one way; their order stays. */
export class Latency extends Fault {
  readonly #random: () => number;

  readonly #ms: number;
  readonly #jitterMs: number;
  readonly #way: Way;

  constructor(ms: number, { jitter = 0, seed = 1, way = 'reply' }: LatencyOptions) {
    super();
    this.#ms = ms;
    this.#jitterMs = jitter;
    this.#way = way;
    this.#random = seeded(seed);
  }

  delayMs(way: Way): number {
    if (way !== this.#way) return 0;
    this.injected += 1;
    return this.#ms + this.#random() * this.#jitterMs;
  }
}

/** The generator mulberry32: numbers from 0 to 1, the same ones for the same seed. */
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
