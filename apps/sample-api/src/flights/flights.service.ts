import { Injectable } from '@nestjs/common';
import { Cacheable } from '@redstart/redis-cache';
import { UnknownResourceProblem } from '../problem/problem.js';
import type { Flight, FlightSearchQuery } from './flights.dto.js';
import { FlightsRepository } from './flights.repository.js';

/** All parts of a query, so that two queries never share an answer. */
const searchKey = ({ origin, destination, date, limit }: FlightSearchQuery) => [
  'flight-search',
  origin,
  destination ?? '',
  date ?? '',
  limit,
];

@Injectable()
export class FlightsService {
  constructor(private readonly flights: FlightsRepository) {}

  @Cacheable({ key: (id: number) => ['flight', id], ttl: '1h' })
  async find(id: number): Promise<Flight> {
    const flight = await this.flights.findById(id);
    if (!flight) throw new UnknownResourceProblem('flight', id);
    return flight;
  }

  @Cacheable({ key: searchKey })
  async search(query: FlightSearchQuery): Promise<Flight[]> {
    return this.flights.search(query);
  }
}
