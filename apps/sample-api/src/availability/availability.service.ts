import { Injectable } from '@nestjs/common';
import { RedisUnavailableError } from '@redstart/redis-core';
import { LockError, LockService } from '@redstart/redis-lock';
import { FlightsService } from '../flights/flights.service.js';
import { LETTERS, ROWS } from '../seats/seats.dto.js';
import { SeatsRepository } from '../seats/seats.repository.js';
import type { Availability } from './availability.dto.js';
import { AvailabilitySnapshots } from './availability.snapshots.js';

@Injectable()
export class AvailabilityService {
  constructor(
    private readonly flights: FlightsService,
    private readonly seats: SeatsRepository,
    private readonly snapshots: AvailabilitySnapshots,
    private readonly locks: LockService,
  ) {}

  /** A count of up to five seconds ago. Without Redis, or when counting takes others too long, of this moment. */
  async of(flightId: number): Promise<Availability> {
    await this.flights.find(flightId);
    try {
      return (await this.snapshots.read(flightId)) ?? (await this.#refresh(flightId));
    } catch (error) {
      if (!(error instanceof RedisUnavailableError) && !(error instanceof LockError)) throw error;
      return this.#count(flightId);
    }
  }

  /**
   * One process at a time counts, for all. One that stands still between counting and saving, for longer than its lease, would put an old count over a newer one: its token
   * is lower than that of whoever has counted since, so Redis refuses it.
   */
  #refresh(flightId: number): Promise<Availability> {
    return this.locks.withLock(['availability', flightId], { waitTimeout: '500ms' }, async ({ fencingToken }) => {
      const saved = await this.snapshots.read(flightId); // By whoever had the lock before us.
      if (saved) return saved;
      const counted = await this.#count(flightId);
      await this.snapshots.save(counted, fencingToken);
      return counted;
    });
  }

  async #count(flightId: number): Promise<Availability> {
    const { size: taken } = await this.seats.findTaken(flightId);
    return { flightId, free: ROWS.length * LETTERS.length - taken, taken, countedAt: new Date().toISOString() };
  }
}
