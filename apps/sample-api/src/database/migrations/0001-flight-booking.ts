import { type Kysely, type Migration, sql } from 'kysely';

/** Airports, routes and flights of the data set; bookings and tickets of our users. */
export const flightBooking: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('airports')
      .addColumn('code', 'text', (column) => column.primaryKey())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('city', 'text')
      .addColumn('state', 'text')
      .addColumn('country', 'text', (column) => column.notNull())
      .addColumn('latitude', 'double precision', (column) => column.notNull())
      .addColumn('longitude', 'double precision', (column) => column.notNull())
      .addCheckConstraint('airports_code_check', sql`code ~ '^[A-Z0-9]{3,4}$'`)
      .execute();

    await db.schema
      .createTable('routes')
      .addColumn('origin', 'text', (column) => column.notNull().references('airports.code'))
      .addColumn('destination', 'text', (column) => column.notNull().references('airports.code'))
      .addColumn('flights', 'integer', (column) => column.notNull())
      .addPrimaryKeyConstraint('routes_pkey', ['origin', 'destination'])
      .execute();

    await db.schema
      .createTable('flights')
      .addColumn('id', 'integer', (column) => column.primaryKey())
      .addColumn('origin', 'text', (column) => column.notNull().references('airports.code'))
      .addColumn('destination', 'text', (column) => column.notNull().references('airports.code'))
      .addColumn('departs_at', sql`timestamp without time zone`, (column) => column.notNull())
      .addColumn('delay_minutes', 'integer', (column) => column.notNull())
      .addColumn('distance_miles', 'integer', (column) => column.notNull())
      .execute();
    await db.schema
      .createIndex('flights_origin_destination_departs_at_idx')
      .on('flights')
      .columns(['origin', 'destination', 'departs_at'])
      .execute();

    await db.schema
      .createTable('bookings')
      .addColumn('id', 'uuid', (column) => column.primaryKey().defaultTo(sql`gen_random_uuid()`))
      .addColumn('flight_id', 'integer', (column) => column.notNull().references('flights.id'))
      .addColumn('seat', 'text', (column) => column.notNull())
      .addColumn('passenger_name', 'text', (column) => column.notNull())
      .addColumn('created_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
      .addUniqueConstraint('bookings_flight_id_seat_key', ['flight_id', 'seat'])
      .addCheckConstraint('bookings_seat_check', sql`seat ~ '^([1-9]|[12][0-9]|30)[A-F]$'`)
      .execute();

    await db.schema
      .createTable('tickets')
      .addColumn('id', 'bigint', (column) => column.generatedAlwaysAsIdentity().primaryKey())
      .addColumn('booking_id', 'uuid', (column) => column.notNull().references('bookings.id'))
      .addColumn('number', 'text', (column) =>
        column.generatedAlwaysAs(sql`'999-' || lpad(id::text, 10, '0')`).stored(),
      )
      .addColumn('issued_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
      .addUniqueConstraint('tickets_booking_id_key', ['booking_id'])
      .execute();

    await db.schema
      .createTable('seed_runs')
      .addColumn('data_set', 'text', (column) => column.primaryKey())
      .addColumn('row_count', 'integer', (column) => column.notNull())
      .addColumn('loaded_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
      .execute();
  },

  async down(db: Kysely<unknown>): Promise<void> {
    for (const table of ['seed_runs', 'tickets', 'bookings', 'flights', 'routes', 'airports']) {
      await db.schema.dropTable(table).execute();
    }
  },
};
