import { Injectable } from '@nestjs/common';
import { FlightsService } from '../flights/flights.service.js';
import { LETTERS, ROWS, type SeatMap, type SeatState } from './seats.dto.js';
import { SeatsRepository } from './seats.repository.js';

@Injectable()
export class SeatsService {
  constructor(
    private readonly seats: SeatsRepository,
    private readonly flights: FlightsService,
  ) {}

  /** Not cached: whoever looks is about to choose a seat. Only that the flight exists comes from the cache. */
  async mapOf(flightId: number): Promise<SeatMap> {
    await this.flights.find(flightId);
    const taken = await this.seats.findTaken(flightId);
    const stateOf = (seat: string): SeatState => (taken.has(seat) ? 'taken' : 'free');
    const rows = ROWS.map((row) => ({
      row,
      seats: {
        A: stateOf(`${row}A`),
        B: stateOf(`${row}B`),
        C: stateOf(`${row}C`),
        D: stateOf(`${row}D`),
        E: stateOf(`${row}E`),
        F: stateOf(`${row}F`),
      },
    }));
    return { flightId, free: ROWS.length * LETTERS.length - taken.size, taken: taken.size, rows };
  }
}
