import { z } from 'zod';
import { printable } from '../airports/airports.dto.js';
import { flightId } from '../flights/flights.dto.js';
import { seat } from '../seats/seats.dto.js';
import { ticketExample, ticketSchema, voidTicketExample } from '../tickets/tickets.dto.js';

/** It is printed on a ticket and read at a gate: there is something to be seen, and nothing in it turns the text around it. */
const passengerName = printable(1, 100)
  .regex(/^$|[^\p{Default_Ignorable_Code_Point}\p{C}\p{Z}]/u, 'must have a character that can be seen')
  .regex(/^\P{Bidi_Control}*$/u, 'must not contain characters that change the direction of text');

export const bookingRequest = z
  .strictObject({
    flightId,
    seat,
    passenger: z.strictObject({ name: passengerName.meta({ example: 'Amelia Earhart' }) }),
  })
  .meta({ example: { flightId: 1, seat: '12A', passenger: { name: 'Amelia Earhart' } } });

export const bookingParams = z.strictObject({
  id: z.guid('must be a booking id: a UUID').toLowerCase().meta({ description: 'The id of a booking' }),
});

export const bookingSchema = z.object({
  id: z.guid(),
  status: z.enum(['booked', 'cancelled']),
  flightId: z.int(),
  seat: z.string(),
  passenger: z.object({ name: z.string() }),
  createdAt: z.iso.datetime(),
  cancelledAt: z.iso.datetime().nullable(),
  ticket: ticketSchema.nullable().meta({
    description: 'Null until the ticket is issued, a moment after the booking; void a moment after cancelling',
  }),
});

export type BookingRequest = z.infer<typeof bookingRequest>;
export type BookingParams = z.infer<typeof bookingParams>;
export type Booking = z.infer<typeof bookingSchema>;

export const bookingExample: Booking = {
  id: '0b9ff5ad-5f9c-4b8c-9c39-9d1bb6c1a2f4',
  status: 'booked',
  flightId: 1,
  seat: '12A',
  passenger: { name: 'Amelia Earhart' },
  createdAt: '2026-03-01T12:00:00.000Z',
  cancelledAt: null,
  ticket: null,
};

export const ticketedBookingExample: Booking = { ...bookingExample, ticket: ticketExample };

export const cancelledBookingExample: Booking = {
  ...bookingExample,
  status: 'cancelled',
  cancelledAt: '2026-03-02T12:00:00.000Z',
  ticket: voidTicketExample,
};
