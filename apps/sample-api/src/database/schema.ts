import type { ColumnType, Generated, GeneratedAlways } from 'kysely';

/** The tables as the queries see them. The migrations beside this file create them. */
export interface DatabaseSchema {
  airports: AirportsTable;
  routes: RoutesTable;
  flights: FlightsTable;
  bookings: BookingsTable;
  tickets: TicketsTable;
  seed_runs: SeedRunsTable;
}

export interface AirportsTable {
  /** The IATA code, or the FAA location id (up to four characters) of a field that has none. */
  code: string;
  name: string;
  city: string | null;
  state: string | null;
  country: string;
  latitude: number;
  longitude: number;
}

export interface RoutesTable {
  origin: string;
  destination: string;
  /** Flights in the year that the data set covers. */
  flights: number;
}

export interface FlightsTable {
  /** The row number in the data set, so that loading it again finds the same flight. */
  id: number;
  origin: string;
  destination: string;
  /** Local time at the origin, without a zone: `2001-01-01 00:47:00`. */
  departs_at: string;
  delay_minutes: number;
  distance_miles: number;
}

export interface BookingsTable {
  id: Generated<string>;
  flight_id: number;
  seat: string;
  passenger_name: string;
  created_at: ColumnType<Date, never, never>;
}

export interface TicketsTable {
  id: GeneratedAlways<string>;
  booking_id: string;
  number: GeneratedAlways<string>;
  issued_at: ColumnType<Date, never, never>;
}

export interface SeedRunsTable {
  data_set: string;
  row_count: number;
  loaded_at: ColumnType<Date, never, never>;
}
