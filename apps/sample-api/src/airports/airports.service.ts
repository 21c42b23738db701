import { Injectable } from '@nestjs/common';
import { Cacheable } from '@redstart/redis-cache';
import { UnknownResourceProblem } from '../problem/problem.js';
import type { Airport, Route } from './airports.dto.js';
import { AirportsRepository } from './airports.repository.js';

@Injectable()
export class AirportsService {
  constructor(private readonly airports: AirportsRepository) {}

  @Cacheable({ key: (code: string) => ['airport', code], ttl: '1h' })
  async find(code: string): Promise<Airport> {
    const airport = await this.airports.findByCode(code);
    if (!airport) throw new UnknownResourceProblem('airport', code);
    return airport;
  }

  @Cacheable({ key: (text: string, limit: number) => ['airport-search', text.toLowerCase(), limit] })
  async search(text: string, limit: number): Promise<Airport[]> {
    return this.airports.search(text, limit);
  }

  /** Empty for an airport without scheduled flights; an unknown airport is a 404. */
  @Cacheable({ key: (code: string) => ['routes', code], ttl: '1h' })
  async routesFrom(code: string): Promise<Route[]> {
    const routes = await this.airports.routesFrom(code);
    if (routes.length === 0) await this.find(code);
    return routes;
  }
}
