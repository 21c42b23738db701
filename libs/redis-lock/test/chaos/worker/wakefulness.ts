import { machineNow, type Pause } from '../checker/log-entry.js';

const beatMs = 25;
/** What is longer than this between two beats is a pause. */
const shortestPauseMs = 75;
const mostPauses = 100;

/** Knows when the event loop of this process stood still, whoever stopped it: a machine that is busy does so, too. Nothing can be noticed at such a time. */
export class Wakefulness {
  #pauses: Pause[] = [];
  #lastBeat = machineNow();

  constructor() {
    setInterval(this.#beat, beatMs).unref();
  }

  /** The latest ones, until now: whoever asks may be the first to run after one. */
  pauses(): readonly Pause[] {
    this.#beat();
    return this.#pauses;
  }

  readonly #beat = (): void => {
    const now = machineNow();
    if (now - this.#lastBeat > shortestPauseMs)
      this.#pauses = [...this.#pauses, [this.#lastBeat, now] as const].slice(-mostPauses);
    this.#lastBeat = now;
  };
}
