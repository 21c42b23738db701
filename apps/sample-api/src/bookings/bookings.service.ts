import { Injectable, Logger } from '@nestjs/common';
import { RedstartError } from '@redstart/redis-core';
import { WithLock } from '@redstart/redis-lock';
import { InjectStream, StreamProducer } from '@redstart/redis-streams';
import { UnknownResourceProblem } from '../problem/problem.js';
import { stackOf } from '../startup/startup-error.js';
import type { Booking, BookingRequest } from './bookings.dto.js';
import { BookingsRepository } from './bookings.repository.js';
import { announce, bookingEvents } from './bookings.stream.js';

@Injectable()
export class BookingsService {
  readonly #logger = new Logger('Bookings');

  constructor(
    private readonly bookings: BookingsRepository,
    @InjectStream(bookingEvents) private readonly events: StreamProducer<typeof bookingEvents>,
  ) {}

  /**
   * Sells a seat and announces it. One request at a time tries for a seat: the others hear at once that somebody is at it, instead of
   * queueing in the database. What decides in the end is the constraint there.
   */
  @WithLock(({ flightId, seat }: BookingRequest) => ['seat', flightId, seat], { onLocked: 'throw' })
  async book(request: BookingRequest): Promise<Booking> {
    const booking = await this.bookings.create(request);
    await this.#announce(booking.id);
    return booking;
  }

  /** Not cached: its reader is waiting for the ticket to appear. */
  async find(id: string): Promise<Booking> {
    const booking = await this.bookings.findById(id);
    if (!booking) throw new UnknownResourceProblem('booking', id);
    return booking;
  }

  /**
   * The seat is sold whatever becomes of the message, so no failure here may tell the passenger otherwise, not even a defect. The `BookingRelay` announces
   * what was not announced.
   */
  async #announce(bookingId: string): Promise<void> {
    try {
      await announce(this.events, bookingId);
    } catch (error) {
      const late = `Booking ${bookingId} could not be announced, so its ticket will be late`;
      if (error instanceof RedstartError) this.#logger.warn(`${late}: ${error.message}`);
      else this.#logger.error(late, stackOf(error));
    }
  }
}
