import { defineStream } from '@redstart/redis-streams';
import { z } from 'zod';

const concerned = z.object({ bookingId: z.guid() });

/** What happens to bookings, for whoever wants to know. Published by the outbox, each message at least once. */
export const bookingEvents = defineStream('bookings', {
  events: { 'booking.created': concerned, 'booking.cancelled': concerned },
  retention: { maxLen: 1_000_000 },
});

export type BookingEventType = keyof typeof bookingEvents.events;
