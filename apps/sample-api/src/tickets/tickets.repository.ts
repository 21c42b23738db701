import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';

@Injectable()
export class TicketsRepository {
  constructor(private readonly database: Database) {}

  /** Creates the ticket of a booking unless it has one: a booking never gets two, however often this is asked. */
  async createOnce(bookingId: string): Promise<'issued' | 'already issued'> {
    const created = await this.database
      .insertInto('tickets')
      .values({ booking_id: bookingId })
      .onConflict((conflict) => conflict.column('booking_id').doNothing())
      .returning('id')
      .executeTakeFirst();
    return created ? 'issued' : 'already issued';
  }
}
