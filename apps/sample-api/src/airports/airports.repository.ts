import { Injectable } from '@nestjs/common';
import { sql } from 'kysely';
import { Database } from '../database/database.js';
import type { Airport, Route } from './airports.dto.js';

@Injectable()
export class AirportsRepository {
  constructor(private readonly database: Database) {}

  async findByCode(code: string): Promise<Airport | undefined> {
    return this.database.selectFrom('airports').selectAll().where('code', '=', code).executeTakeFirst();
  }

  /** The airport with that very code first, then cities and names that begin with the text, the busiest first. */
  async search(text: string, limit: number): Promise<Airport[]> {
    const literally = text.replace(/[\\%_]/g, '\\$&');
    const beginning = `${literally}%`;
    const anywhere = `%${literally}%`;
    return this.database
      .selectFrom('airports')
      .selectAll()
      .where((is) =>
        is.or([is('code', 'ilike', beginning), is('city', 'ilike', anywhere), is('name', 'ilike', anywhere)]),
      )
      .orderBy((is) =>
        is
          .case()
          .when('code', '=', text.toUpperCase())
          .then(0)
          .when(is.or([is('city', 'ilike', beginning), is('name', 'ilike', beginning)]))
          .then(1)
          .else(2)
          .end(),
      )
      .orderBy(sql`(select sum(routes.flights) from routes where routes.origin = airports.code)`, (by) =>
        by.desc().nullsLast(),
      )
      .orderBy('code')
      .limit(limit)
      .execute();
  }

  /** Where one can fly from here, the busiest route first. */
  async routesFrom(code: string): Promise<Route[]> {
    return this.database
      .selectFrom('routes')
      .innerJoin('airports', 'airports.code', 'routes.destination')
      .select([
        'routes.origin',
        'routes.destination',
        'airports.name as destinationName',
        'airports.city as destinationCity',
        'routes.flights',
      ])
      .where('routes.origin', '=', code)
      .orderBy('routes.flights', 'desc')
      .orderBy('routes.destination')
      .execute();
  }
}
