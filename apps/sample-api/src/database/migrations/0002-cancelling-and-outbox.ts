import { type Kysely, type Migration, sql } from 'kysely';

/** Bookings can be cancelled, writes to a seat are fenced, and what happens to bookings is announced through an outbox. */
export const cancellingAndOutbox: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema.alterTable('bookings').addColumn('cancelled_at', 'timestamptz').execute();
    await db.schema.alterTable('tickets').addColumn('voided_at', 'timestamptz').execute();

    // Still sold once, but free again when its booking is cancelled: only an index can be partial, a constraint can't.
    await db.schema.alterTable('bookings').dropConstraint('bookings_flight_id_seat_key').execute();
    await db.schema
      .createIndex('bookings_flight_id_seat_key')
      .unique()
      .on('bookings')
      .columns(['flight_id', 'seat'])
      .where(sql<boolean>`cancelled_at is null`)
      .execute();

    await db.schema
      .createTable('seat_fences')
      .addColumn('flight_id', 'integer', (column) => column.notNull().references('flights.id'))
      .addColumn('seat', 'text', (column) => column.notNull())
      .addColumn('fence', 'bigint', (column) => column.notNull())
      .addPrimaryKeyConstraint('seat_fences_pkey', ['flight_id', 'seat'])
      .execute();

    await db.schema
      .createTable('outbox')
      .addColumn('id', 'uuid', (column) => column.primaryKey().defaultTo(sql`gen_random_uuid()`))
      .addColumn('position', 'bigint', (column) => column.generatedAlwaysAsIdentity().notNull())
      .addColumn('type', 'text', (column) => column.notNull())
      .addColumn('booking_id', 'uuid', (column) => column.notNull().references('bookings.id'))
      .addColumn('due_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
      .addColumn('published_at', 'timestamptz')
      .addUniqueConstraint('outbox_booking_id_type_key', ['booking_id', 'type'])
      .execute();
    await db.schema.createIndex('outbox_due_at_idx').on('outbox').column('due_at').execute();
    await sql`
      insert into outbox (type, booking_id)
      select 'booking.created', bookings.id from bookings
      where not exists (select from tickets where tickets.booking_id = bookings.id)
      order by bookings.created_at`.execute(db);
  },

  /** Cancelled bookings go: the older schema can't tell them from the others. */
  async down(db: Kysely<unknown>): Promise<void> {
    await db.schema.dropTable('outbox').execute();
    await db.schema.dropTable('seat_fences').execute();
    await sql`delete from tickets where booking_id in (select id from bookings where cancelled_at is not null)`.execute(
      db,
    );
    await sql`delete from bookings where cancelled_at is not null`.execute(db);
    await db.schema.dropIndex('bookings_flight_id_seat_key').execute();
    await db.schema
      .alterTable('bookings')
      .addUniqueConstraint('bookings_flight_id_seat_key', ['flight_id', 'seat'])
      .execute();
    await db.schema.alterTable('tickets').dropColumn('voided_at').execute();
    await db.schema.alterTable('bookings').dropColumn('cancelled_at').execute();
  },
};
