import { Injectable } from '@nestjs/common';
import { sql, type Transaction } from 'kysely';
import { breaksForeignKey, breaksUnique } from '../database/database.errors.js';
import { Database } from '../database/database.js';
import type { DatabaseSchema } from '../database/schema.js';
import { OutboxRepository } from '../outbox/outbox.repository.js';
import { UnknownResourceProblem } from '../problem/problem.js';
import { toTicket } from '../tickets/tickets.dto.js';
import type { Booking, BookingRequest } from './bookings.dto.js';
import { OvertakenProblem, SeatTakenProblem } from './bookings.errors.js';

export interface NewBooking extends BookingRequest {
  readonly id: string;
  /** That of the lock on the seat. */
  readonly fencingToken: number;
}

@Injectable()
export class BookingsRepository {
  constructor(
    private readonly database: Database,
    private readonly outbox: OutboxRepository,
  ) {}

  /**
   * Sells the seat and writes down that this is to be announced, both or nothing. The unique index on flight and seat decides, whatever locks were or
   * were not taken before; a holder who was overtaken is refused.
   *
   * @throws SeatTakenProblem · OvertakenProblem · UnknownResourceProblem when there is no such flight
   */
  async create({ id, flightId, seat, passenger, fencingToken }: NewBooking): Promise<Booking> {
    try {
      const { created_at } = await this.database.transaction().execute(async (transaction) => {
        await passFence(transaction, { flightId, seat, fencingToken });
        const booking = await transaction
          .insertInto('bookings')
          .values({ id, flight_id: flightId, seat, passenger_name: passenger.name })
          .returning('created_at')
          .executeTakeFirstOrThrow();
        await this.outbox.add(transaction, { type: 'booking.created', bookingId: id });
        return booking;
      });
      const createdAt = created_at.toISOString();
      return { id, status: 'booked', flightId, seat, passenger, createdAt, cancelledAt: null, ticket: null };
    } catch (error) {
      if (breaksUnique(error, 'bookings_flight_id_seat_key'))
        throw new SeatTakenProblem(flightId, seat, { cause: error });
      if (breaksForeignKey(error, 'seat_fences_flight_id_fkey')) throw new UnknownResourceProblem('flight', flightId);
      throw error;
    }
  }

  /**
   * Cancels a booking, which frees its seat, and writes down that this is to be announced, both or nothing.
   *
   * @returns whether it was this call; `false` too when there is no such booking
   */
  async cancel(id: string): Promise<boolean> {
    return this.database.transaction().execute(async (transaction) => {
      const cancelled = await transaction
        .updateTable('bookings')
        .set({ cancelled_at: sql<Date>`now()` })
        .where('id', '=', id)
        .where('cancelled_at', 'is', null)
        .returning('id')
        .executeTakeFirst();
      if (cancelled) await this.outbox.add(transaction, { type: 'booking.cancelled', bookingId: id });
      return cancelled !== undefined;
    });
  }

  async findById(id: string): Promise<Booking | undefined> {
    const row = await this.database
      .selectFrom('bookings')
      .leftJoin('tickets', 'tickets.booking_id', 'bookings.id')
      .select(['bookings.id', 'bookings.flight_id', 'bookings.seat', 'bookings.passenger_name'])
      .select(['bookings.created_at', 'bookings.cancelled_at'])
      .select(['tickets.number', 'tickets.issued_at', 'tickets.voided_at'])
      .where('bookings.id', '=', id)
      .executeTakeFirst();
    return (
      row && {
        id: row.id,
        status: row.cancelled_at === null ? 'booked' : 'cancelled',
        flightId: row.flight_id,
        seat: row.seat,
        passenger: { name: row.passenger_name },
        createdAt: row.created_at.toISOString(),
        cancelledAt: row.cancelled_at?.toISOString() ?? null,
        ticket: toTicket(row),
      }
    );
  }
}

/**
 * Lets the holder of a seat's lock write unless a later holder has come this far before. The row stays locked until the end of the transaction, so whoever comes at the
 * same time waits for the outcome.
 *
 * @throws OvertakenProblem
 */
async function passFence(
  transaction: Transaction<DatabaseSchema>,
  { flightId, seat, fencingToken }: Pick<NewBooking, 'flightId' | 'seat' | 'fencingToken'>,
): Promise<void> {
  const passed = await transaction
    .insertInto('seat_fences')
    .values({ flight_id: flightId, seat, fence: fencingToken })
    .onConflict((conflict) =>
      conflict
        .columns(['flight_id', 'seat'])
        .doUpdateSet({ fence: fencingToken })
        .whereRef('seat_fences.fence', '<=', 'excluded.fence'),
    )
    .returning('fence')
    .executeTakeFirst();
  if (!passed) throw new OvertakenProblem(flightId, seat);
}
