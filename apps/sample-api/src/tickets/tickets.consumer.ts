import { StreamConsumer, StreamHandler } from '@redstart/redis-streams';
import { bookingEvents } from '../bookings/bookings.stream.js';
import { TicketsService } from './tickets.service.js';

/** Issues a ticket for every booking. A message that comes twice issues none twice; one that fails is delivered again. */
@StreamConsumer(bookingEvents, { group: 'tickets' })
export class TicketsConsumer {
  constructor(private readonly tickets: TicketsService) {}

  @StreamHandler(bookingEvents.event('booking.created'))
  async issue({ bookingId }: { bookingId: string }): Promise<void> {
    await this.tickets.issue(bookingId);
  }
}
