import type { Clock } from '@redstart/redis-core';

/** After so long it is asked again: clocks of machines drift by some milliseconds an hour. */
const trustedMs = 60_000;

/**
 * The clock of Redis, as this process estimates it between two answers: its own clock, which never goes back, and the distance between them. Right to half a round trip.
 *
 * Only for what may be some milliseconds off: until when a value is fresh that may be served stale as well. Whether it is there at all, Redis decides.
 */
export class ServerClock {
  #distance: number | undefined;
  #askedAt = -Infinity;
  #asking: Promise<number> | undefined;

  /** @param ask the server's time in milliseconds */
  constructor(
    private readonly clock: Clock,
    private readonly ask: () => Promise<number>,
  ) {}

  /** Milliseconds since the epoch; `undefined` when it has to be asked for first. */
  get now(): number | undefined {
    if (this.#distance === undefined) return undefined;
    if (this.clock.now() - this.#askedAt > trustedMs) {
      this.#sync().catch(() => {
        // The old distance serves on; the next call asks again.
      });
    }
    return this.clock.now() + this.#distance;
  }

  /** @throws what asking throws */
  async get(): Promise<number> {
    return this.now ?? (await this.#sync());
  }

  #sync(): Promise<number> {
    this.#asking ??= this.#measure().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #measure(): Promise<number> {
    const sentAt = this.clock.now();
    const serverMs = await this.ask();
    const middle = (sentAt + this.clock.now()) / 2;
    this.#askedAt = this.clock.now();
    this.#distance = serverMs - middle;
    return this.clock.now() + this.#distance;
  }
}
