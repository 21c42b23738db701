import type { ColumnType, Generated, GeneratedAlways } from 'kysely';

/** The tables as the queries see them. The migrations beside this file create them. */
export interface DatabaseSchema {
  airports: AirportsTable;
  routes: RoutesTable;
  flights: FlightsTable;
  bookings: BookingsTable;
  tickets: TicketsTable;
  seat_fences: SeatFencesTable;
  outbox: OutboxTable;
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
  /** Set once, and then the seat is free again. */
  cancelled_at: ColumnType<Date | null, never, Date>;
}

/** What a holder of a seat's lock has to show before it may write. */
export interface SeatFencesTable {
  flight_id: number;
  seat: string;
  /** The highest fencing token that has booked, or tried to. */
  fence: ColumnType<string, number, number>;
}

/** What has happened and is not known to have had its effect: written with the event itself, deleted with the effect. */
export interface OutboxTable {
  /** Also the id of the message. Random, since Redis may remember the ids of a database that is gone. */
  id: GeneratedAlways<string>;
  /** The order in which messages are published. */
  position: GeneratedAlways<string>;
  type: 'booking.created' | 'booking.cancelled';
  booking_id: string;
  /** Nobody takes the row before: it is being published, or its message is on its way. */
  due_at: ColumnType<Date, never, Date>;
  published_at: ColumnType<Date | null, never, Date>;
}

export interface TicketsTable {
  id: GeneratedAlways<string>;
  booking_id: string;
  number: GeneratedAlways<string>;
  issued_at: ColumnType<Date, never, never>;
  /** When its booking was cancelled, or rather when that was heard of. */
  voided_at: ColumnType<Date | null, Date | undefined, Date>;
}

export interface SeedRunsTable {
  data_set: string;
  row_count: number;
  loaded_at: ColumnType<Date, never, never>;
}
