import { Injectable } from '@nestjs/common';
import { UnknownResourceProblem } from '../problem/problem.js';
import type { Booking, BookingRequest } from './bookings.dto.js';
import { BookingsRepository } from './bookings.repository.js';

@Injectable()
export class BookingsService {
  constructor(private readonly bookings: BookingsRepository) {}

  async book(request: BookingRequest): Promise<Booking> {
    return this.bookings.create(request);
  }

  async find(id: string): Promise<Booking> {
    const booking = await this.bookings.findById(id);
    if (!booking) throw new UnknownResourceProblem('booking', id);
    return booking;
  }
}
