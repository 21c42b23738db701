import { Injectable } from '@nestjs/common';
import { UnknownResourceProblem } from '../problem/problem.js';
import type { Flight, FlightSearchQuery } from './flights.dto.js';
import { FlightsRepository } from './flights.repository.js';

@Injectable()
export class FlightsService {
  constructor(private readonly flights: FlightsRepository) {}

  async find(id: number): Promise<Flight> {
    const flight = await this.flights.findById(id);
    if (!flight) throw new UnknownResourceProblem('flight', id);
    return flight;
  }

  async search(query: FlightSearchQuery): Promise<Flight[]> {
    return this.flights.search(query);
  }
}
