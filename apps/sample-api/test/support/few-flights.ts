import type { Database } from '../../src/database/database.js';

/** So many flights, from number 1 on, between two airports: all that a booking needs. */
export async function insertFlights(database: Database, count: number): Promise<void> {
  const somewhere = { name: 'Somewhere', city: null, state: null, country: 'USA', latitude: 0, longitude: 0 };
  const airports = ['AAA', 'BBB'].map((code) => ({ code, ...somewhere }));
  await database.insertInto('airports').values(airports).execute();
  const flight = { origin: 'AAA', destination: 'BBB', departs_at: '2001-01-01 00:47', delay_minutes: 0 };
  const flights = Array.from({ length: count }, (_, index) => ({ id: index + 1, ...flight, distance_miles: 1 }));
  await database.insertInto('flights').values(flights).execute();
}
