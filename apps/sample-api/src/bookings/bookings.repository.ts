import { Injectable } from '@nestjs/common';
import { sql } from 'kysely';
import { breaksForeignKey, breaksUnique } from '../database/database.errors.js';
import { Database } from '../database/database.js';
import { UnknownResourceProblem } from '../problem/problem.js';
import type { Booking, BookingRequest } from './bookings.dto.js';
import { SeatTakenProblem } from './bookings.errors.js';

export interface WithoutTicket {
  readonly forSeconds: number;
  readonly after?: string | undefined;
  readonly limit: number;
}

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

  /** The ids of bookings that have been without a ticket for that long, in the order of the ids, those behind `after`. */
  async findWithoutTicket({ forSeconds, after, limit }: WithoutTicket): Promise<string[]> {
    const rows = await this.database
      .selectFrom('bookings')
      .leftJoin('tickets', 'tickets.booking_id', 'bookings.id')
      .select('bookings.id')
      .where('tickets.id', 'is', null)
      // By the clock of the database, which has set created_at.
      .where('bookings.created_at', '<', sql<Date>`now() - make_interval(secs => ${forSeconds})`)
      .$if(after !== undefined, (bookings) => bookings.where('bookings.id', '>', after ?? ''))
      .orderBy('bookings.id')
      .limit(limit)
      .execute();
    return rows.map(({ id }) => id);
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
