import { Injectable } from '@nestjs/common';
import { Cacheable } from '@redstart/redis-cache';
import type { PopularRoute } from './routes.dto.js';
import { RoutesRepository } from './routes.repository.js';

@Injectable()
export class RoutesService {
  constructor(private readonly routes: RoutesRepository) {}

  /** Reads every booking, and nobody minds a count of a moment ago: so it is cached, and bookings don't touch it. */
  @Cacheable({ key: (limit: number) => ['popular-routes', limit], ttl: '30s' })
  async mostBooked(limit: number): Promise<PopularRoute[]> {
    return this.routes.mostBooked(limit);
  }
}
