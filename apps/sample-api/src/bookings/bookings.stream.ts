import { defineStream, type StreamProducer } from '@redstart/redis-streams';
import { z } from 'zod';

/** What happens to bookings, for whoever wants to know. */
export const bookingEvents = defineStream('bookings', {
  events: { 'booking.created': z.object({ bookingId: z.guid() }) },
  retention: { maxLen: 1_000_000 },
});

/** Says that a booking was made. Its id is the id of the message, so saying it again adds nothing as long as the first message is remembered. */
export const announce = (events: StreamProducer<typeof bookingEvents>, bookingId: string) =>
  events.publish('booking.created', { bookingId }, { messageId: bookingId });
