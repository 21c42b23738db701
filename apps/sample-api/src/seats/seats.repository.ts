import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';

@Injectable()
export class SeatsRepository {
  constructor(private readonly database: Database) {}

  async findTaken(flightId: number): Promise<Set<string>> {
    const rows = await this.database
      .selectFrom('bookings')
      .select('seat')
      .where('flight_id', '=', flightId)
      .where('cancelled_at', 'is', null)
      .execute();
    return new Set(rows.map(({ seat }) => seat));
  }
}
