import { UseFilters } from '@nestjs/common';
import { StreamConsumer, StreamHandler } from '@redstart/redis-streams';
import { bookingEvents } from '../bookings/bookings.stream.js';
import { OutageFilter } from '../problem/outage.filter.js';
import { TicketsService } from './tickets.service.js';

/**
 * Keeps one ticket per booking: issued by the one event, void by the other. A message that comes twice changes nothing, the two may come in
 * any order, and one that fails is delivered again.
 */
@UseFilters(OutageFilter)
@StreamConsumer(bookingEvents, { group: 'tickets' })
export class TicketsConsumer {
  constructor(private readonly tickets: TicketsService) {}

  @StreamHandler(bookingEvents.event('booking.created'))
  async issue({ bookingId }: { bookingId: string }): Promise<void> {
    await this.tickets.issue(bookingId);
  }

  @StreamHandler(bookingEvents.event('booking.cancelled'))
  async void({ bookingId }: { bookingId: string }): Promise<void> {
    await this.tickets.void(bookingId);
  }
}
