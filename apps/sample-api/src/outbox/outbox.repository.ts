import { Injectable } from '@nestjs/common';
import { sql, type Transaction } from 'kysely';
import type { BookingEventType } from '../bookings/bookings.stream.js';
import { Database } from '../database/database.js';
import type { DatabaseSchema } from '../database/schema.js';

export interface BookingEvent {
  readonly type: BookingEventType;
  readonly bookingId: string;
}

export interface OutboxRow extends BookingEvent {
  /** The id of the message, the same however often it is published. */
  readonly id: string;
  /** It was published before, and nothing was heard of it since. */
  readonly isRepetition: boolean;
}

/**
 * The outbox: a row is written in the transaction of the event (`add`) and deleted in the transaction of its effect (`settle`). What is in it when it is
 * due still has to be published, or has to be published again.
 *
 * A row is *due* from the start; *claimed* by one relay for the time of a lease, after which it is due again; *published*, and due again when its effect is
 * overdue; gone.
 */
@Injectable()
export class OutboxRepository {
  constructor(private readonly database: Database) {}

  async add(transaction: Transaction<DatabaseSchema>, { type, bookingId }: BookingEvent): Promise<void> {
    await transaction.insertInto('outbox').values({ type, booking_id: bookingId }).execute();
  }

  async settle(transaction: Transaction<DatabaseSchema>, { type, bookingId }: BookingEvent): Promise<void> {
    await transaction.deleteFrom('outbox').where('booking_id', '=', bookingId).where('type', '=', type).execute();
  }

  /**
   * Takes rows that are due, in their order. No two callers get the same one, and a second message about a booking is not handed out before
   * the first one is published. One statement, so that no transaction is open while Redis is asked.
   */
  async claimDue({ limit, forSeconds }: { limit: number; forSeconds: number }): Promise<OutboxRow[]> {
    const rows = await this.database
      .with('due', (query) =>
        query
          .selectFrom('outbox as row')
          .select('row.id')
          .where('row.due_at', '<=', sql<Date>`now()`)
          .where((is) =>
            is.not(
              is.exists(
                is
                  .selectFrom('outbox as earlier')
                  .select('earlier.id')
                  .whereRef('earlier.booking_id', '=', 'row.booking_id')
                  .whereRef('earlier.position', '<', 'row.position')
                  .where('earlier.published_at', 'is', null),
              ),
            ),
          )
          .orderBy('row.position')
          .limit(limit)
          .forUpdate()
          .skipLocked(),
      )
      .with('claimed', (query) =>
        query
          .updateTable('outbox')
          .from('due')
          .set({ due_at: secondsFromNow(forSeconds) })
          .whereRef('outbox.id', '=', 'due.id')
          .returningAll('outbox'),
      )
      .selectFrom('claimed')
      .selectAll()
      .orderBy('position')
      .execute();
    return rows.map(({ id, type, booking_id, published_at }) => ({
      id,
      type,
      bookingId: booking_id,
      isRepetition: published_at !== null,
    }));
  }

  /** The messages are in the stream. Rows whose effect is missing after that time are due again. */
  async markPublished(
    ids: readonly string[],
    { dueAgainAfterSeconds }: { dueAgainAfterSeconds: number },
  ): Promise<void> {
    await this.database
      .updateTable('outbox')
      .set({ published_at: sql<Date>`now()`, due_at: secondsFromNow(dueAgainAfterSeconds) })
      .where('id', 'in', ids)
      .execute();
  }

  /** Gives claimed rows back before the lease ends. */
  async release(ids: readonly string[]): Promise<void> {
    await this.database
      .updateTable('outbox')
      .set({ due_at: sql<Date>`now()` })
      .where('id', 'in', ids)
      .execute();
  }
}

/** By the clock of the database, the one that all processes share. */
const secondsFromNow = (seconds: number) => sql<Date>`now() + make_interval(secs => ${seconds})`;
