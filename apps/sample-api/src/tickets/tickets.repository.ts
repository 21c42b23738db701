import { Injectable } from '@nestjs/common';
import { sql, type Transaction } from 'kysely';
import { Database } from '../database/database.js';
import type { DatabaseSchema } from '../database/schema.js';
import { toDeparture } from '../flights/flights.repository.js';
import { OutboxRepository } from '../outbox/outbox.repository.js';
import { type PrintedTicket, toTicket } from './tickets.dto.js';

/**
 * Both writes do the same in any order and number: a booking has one ticket at most, and a ticket that is void stays void. Each ends the wait of its
 * message in the outbox, in one transaction with the effect.
 */
@Injectable()
export class TicketsRepository {
  constructor(
    private readonly database: Database,
    private readonly outbox: OutboxRepository,
  ) {}

  /** Creates the ticket of a booking unless it has one. */
  async createOnce(bookingId: string): Promise<'issued' | 'already issued'> {
    const created = await this.#handle('booking.created', bookingId, (transaction) =>
      transaction
        .insertInto('tickets')
        .values({ booking_id: bookingId })
        .onConflict((conflict) => conflict.column('booking_id').doNothing())
        .returning('id')
        .executeTakeFirst(),
    );
    return created ? 'issued' : 'already issued';
  }

  /** Voids the ticket of a booking. One that is not issued yet is issued void: the message that would issue it is still on its way. */
  async voidOnce(bookingId: string): Promise<'voided' | 'already void'> {
    const voided = await this.#handle('booking.cancelled', bookingId, (transaction) =>
      transaction
        .insertInto('tickets')
        .values({ booking_id: bookingId, voided_at: sql<Date>`now()` })
        .onConflict((conflict) =>
          conflict
            .column('booking_id')
            .doUpdateSet({ voided_at: sql<Date>`now()` })
            .where('tickets.voided_at', 'is', null),
        )
        .returning('id')
        .executeTakeFirst(),
    );
    return voided ? 'voided' : 'already void';
  }

  /** @returns undefined when there is no such booking, null when its ticket is not issued yet */
  async findByBooking(bookingId: string): Promise<PrintedTicket | null | undefined> {
    const row = await this.database
      .selectFrom('bookings')
      .innerJoin('flights', 'flights.id', 'bookings.flight_id')
      .leftJoin('tickets', 'tickets.booking_id', 'bookings.id')
      .select(['tickets.number', 'tickets.issued_at', 'tickets.voided_at', 'bookings.seat', 'bookings.passenger_name'])
      .select(['flights.id', 'flights.origin', 'flights.destination', 'flights.departs_at'])
      .where('bookings.id', '=', bookingId)
      .executeTakeFirst();
    if (!row) return undefined;
    const ticket = toTicket(row);
    const { id, origin, destination, departs_at, seat, passenger_name } = row;
    const flight = { id, origin, destination, departsAt: toDeparture(departs_at) };
    return ticket && { ...ticket, bookingId, passenger: { name: passenger_name }, seat, flight };
  }

  #handle<Result>(
    type: 'booking.created' | 'booking.cancelled',
    bookingId: string,
    effect: (transaction: Transaction<DatabaseSchema>) => Promise<Result>,
  ): Promise<Result> {
    return this.database.transaction().execute(async (transaction) => {
      const result = await effect(transaction);
      await this.outbox.settle(transaction, { type, bookingId });
      return result;
    });
  }
}
