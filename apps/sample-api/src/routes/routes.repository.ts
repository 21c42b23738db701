import { Injectable } from '@nestjs/common';
import { sql } from 'kysely';
import { Database } from '../database/database.js';
import type { PopularRoute } from './routes.dto.js';

@Injectable()
export class RoutesRepository {
  constructor(private readonly database: Database) {}

  async mostBooked(limit: number): Promise<PopularRoute[]> {
    return this.database
      .selectFrom('bookings')
      .innerJoin('flights', 'flights.id', 'bookings.flight_id')
      .select(['flights.origin', 'flights.destination', sql<number>`count(*)::int`.as('bookings')])
      .where('bookings.cancelled_at', 'is', null)
      .groupBy(['flights.origin', 'flights.destination'])
      .orderBy('bookings', 'desc')
      .orderBy('flights.origin')
      .orderBy('flights.destination')
      .limit(limit)
      .execute();
  }
}
