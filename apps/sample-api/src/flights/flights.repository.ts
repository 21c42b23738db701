import { Injectable } from '@nestjs/common';
import { type Selectable, sql } from 'kysely';
import { Database } from '../database/database.js';
import type { FlightsTable } from '../database/schema.js';
import type { Flight, FlightSearchQuery } from './flights.dto.js';

@Injectable()
export class FlightsRepository {
  constructor(private readonly database: Database) {}

  async findById(id: number): Promise<Flight | undefined> {
    const row = await this.database.selectFrom('flights').selectAll().where('id', '=', id).executeTakeFirst();
    return row && toFlight(row);
  }

  async search({ origin, destination, date, limit }: FlightSearchQuery): Promise<Flight[]> {
    const rows = await this.database
      .selectFrom('flights')
      .selectAll()
      .where('origin', '=', origin)
      .$if(destination !== undefined, (flights) => flights.where('destination', '=', destination ?? ''))
      .$if(date !== undefined, (flights) =>
        flights
          .where('departs_at', '>=', sql<string>`${date}::date`)
          .where('departs_at', '<', sql<string>`${date}::date + 1`),
      )
      .orderBy('departs_at')
      .orderBy('id')
      .limit(limit)
      .execute();
    return rows.map(toFlight);
  }
}

/** Local time at the origin, to the minute: `2001-01-01T00:47`. */
export const toDeparture = (departsAt: string): string =>
  departsAt.slice(0, '2001-01-01 00:47'.length).replace(' ', 'T');

function toFlight(row: Selectable<FlightsTable>): Flight {
  return {
    id: row.id,
    origin: row.origin,
    destination: row.destination,
    departsAt: toDeparture(row.departs_at),
    delayMinutes: row.delay_minutes,
    distanceMiles: row.distance_miles,
  };
}
