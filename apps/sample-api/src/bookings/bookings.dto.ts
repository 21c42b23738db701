import { z } from 'zod';
import { printable } from '../airports/airports.dto.js';
import { flightId } from '../flights/flights.dto.js';

export const seat = z
  .string()
  .regex(/^([1-9]|[12]\d|30)[A-Fa-f]$/, 'must be a seat: a row from 1 to 30 and a letter from A to F')
  .toUpperCase()
  .meta({ description: 'Row 1 to 30, letter A to F', example: '12A' });

export const bookingRequest = z
  .strictObject({
    flightId,
    seat,
    passenger: z.strictObject({ name: printable(1, 100).meta({ example: 'Amelia Earhart' }) }),
  })
  .meta({ example: { flightId: 1, seat: '12A', passenger: { name: 'Amelia Earhart' } } });

export const bookingParams = z.strictObject({
  id: z.guid('must be a booking id: a UUID').toLowerCase().meta({ description: 'The id of a booking' }),
});

export const bookingSchema = z.object({
  id: z.guid(),
  flightId: z.int(),
  seat: z.string(),
  passenger: z.object({ name: z.string() }),
  createdAt: z.iso.datetime(),
  ticket: z
    .object({ number: z.string(), issuedAt: z.iso.datetime() })
    .nullable()
    .meta({ description: 'Null until the ticket is issued, a moment after the booking' }),
});

export type BookingRequest = z.infer<typeof bookingRequest>;
export type BookingParams = z.infer<typeof bookingParams>;
export type Booking = z.infer<typeof bookingSchema>;

export const bookingExample: Booking = {
  id: '0b9ff5ad-5f9c-4b8c-9c39-9d1bb6c1a2f4',
  flightId: 1,
  seat: '12A',
  passenger: { name: 'Amelia Earhart' },
  createdAt: '2026-03-01T12:00:00.000Z',
  ticket: null,
};

export const ticketedBookingExample: Booking = {
  ...bookingExample,
  ticket: { number: '999-0000000001', issuedAt: '2026-03-01T12:00:00.100Z' },
};
