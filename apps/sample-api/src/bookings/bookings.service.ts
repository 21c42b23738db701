import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { currentLock, LockLostError, WithLock } from '@redstart/redis-lock';
import { InjectOutboxRelay, OutboxRelay } from '@redstart/redis-streams';
import { UnknownResourceProblem } from '../problem/problem.js';
import type { Booking, BookingRequest } from './bookings.dto.js';
import { BookingsRepository } from './bookings.repository.js';
import { bookingEvents } from './bookings.stream.js';

@Injectable()
export class BookingsService {
  constructor(
    private readonly bookings: BookingsRepository,
    @InjectOutboxRelay(bookingEvents) private readonly relay: OutboxRelay,
  ) {}

  /** Sells a seat. What was committed is sold, even if the lock got lost behind it: then the answer is looked up. */
  async book(request: BookingRequest): Promise<Booking> {
    const id = randomUUID();
    const booking = await this.sell(request, id).catch(async (error: unknown) => {
      const committed = error instanceof LockLostError ? await this.bookings.findById(id) : undefined;
      if (!committed) throw error;
      return committed;
    });
    this.relay.kick();
    return booking;
  }

  /**
   * One request at a time tries for a seat: the others hear at once that somebody is at it, instead of queueing in the database. What decides in the
   * end is the database: by its unique index, and by the fencing token, should we lose the lock without noticing.
   */
  @WithLock(({ flightId, seat }: BookingRequest) => ['seat', flightId, seat], { onLocked: 'throw' })
  protected async sell(request: BookingRequest, id: string): Promise<Booking> {
    const lock = currentLock();
    if (!lock) throw new Error('A seat is sold under its lock only.');
    return this.bookings.create({ ...request, id, fencingToken: lock.fencingToken });
  }

  /** Cancels a booking; cancelling it again changes nothing. It needs no lock: of two callers at once, one finds it not cancelled. */
  async cancel(id: string): Promise<Booking> {
    if (await this.bookings.cancel(id)) this.relay.kick();
    return this.find(id);
  }

  /** Not cached: its reader is waiting for the ticket to appear. */
  async find(id: string): Promise<Booking> {
    const booking = await this.bookings.findById(id);
    if (!booking) throw new UnknownResourceProblem('booking', id);
    return booking;
  }
}
