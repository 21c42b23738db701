import { defineStream } from '@redstart/redis-streams';
import { z } from 'zod';

/** What happens to bookings, for whoever wants to know. The message id of an event is the id of its booking, so publishing twice is harmless. */
export const bookingEvents = defineStream('bookings', {
  events: { 'booking.created': z.object({ bookingId: z.guid() }) },
  retention: { maxLen: 1_000_000 },
});
