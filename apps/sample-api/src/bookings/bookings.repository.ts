import { Injectable } from '@nestjs/common';
import { breaksForeignKey, breaksUnique } from '../database/database.errors.js';
import { Database } from '../database/database.js';
import { UnknownResourceProblem } from '../problem/problem.js';
import type { Booking, BookingRequest } from './bookings.dto.js';
import { SeatTakenProblem } from './bookings.errors.js';

@Injectable()
export class BookingsRepository {
  constructor(private readonly database: Database) {}

  /**
   * Sells the seat. The unique constraint on flight and seat decides, whatever locks were or were not taken before.
   *
   * @throws SeatTakenProblem · UnknownResourceProblem when there is no such flight
   */
  async create({ flightId, seat, passenger }: BookingRequest): Promise<Booking> {
    try {
      const { id, created_at } = await this.database
        .transaction()
        .execute((transaction) =>
          transaction
            .insertInto('bookings')
            .values({ flight_id: flightId, seat, passenger_name: passenger.name })
            .returning(['id', 'created_at'])
            .executeTakeFirstOrThrow(),
        );
      return { id, flightId, seat, passenger, createdAt: created_at.toISOString(), ticket: null };
    } catch (error) {
      if (breaksUnique(error, 'bookings_flight_id_seat_key'))
        throw new SeatTakenProblem(flightId, seat, { cause: error });
      if (breaksForeignKey(error, 'bookings_flight_id_fkey')) throw new UnknownResourceProblem('flight', flightId);
      throw error;
    }
  }

  async findById(id: string): Promise<Booking | undefined> {
    const row = await this.database
      .selectFrom('bookings')
      .leftJoin('tickets', 'tickets.booking_id', 'bookings.id')
      .select([
        'bookings.id',
        'bookings.flight_id',
        'bookings.seat',
        'bookings.passenger_name',
        'bookings.created_at',
        'tickets.number',
        'tickets.issued_at',
      ])
      .where('bookings.id', '=', id)
      .executeTakeFirst();
    if (!row) return undefined;
    const { number, issued_at } = row;
    return {
      id: row.id,
      flightId: row.flight_id,
      seat: row.seat,
      passenger: { name: row.passenger_name },
      createdAt: row.created_at.toISOString(),
      ticket: number !== null && issued_at !== null ? { number, issuedAt: issued_at.toISOString() } : null,
    };
  }
}
