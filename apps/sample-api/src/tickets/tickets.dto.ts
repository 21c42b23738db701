import { z } from 'zod';

export const ticketSchema = z.object({
  number: z.string(),
  status: z.enum(['valid', 'void']),
  issuedAt: z.iso.datetime(),
  voidedAt: z.iso.datetime().nullable(),
});

/** A ticket as it is shown at the gate. */
export const printedTicketSchema = ticketSchema.extend({
  bookingId: z.guid(),
  passenger: z.object({ name: z.string() }),
  seat: z.string(),
  flight: z.object({
    id: z.int(),
    origin: z.string(),
    destination: z.string(),
    departsAt: z.string().meta({ description: 'Local time at the origin, without a zone' }),
  }),
});

export type Ticket = z.infer<typeof ticketSchema>;
export type PrintedTicket = z.infer<typeof printedTicketSchema>;

export const ticketExample: Ticket = {
  number: '999-0000000001',
  status: 'valid',
  issuedAt: '2026-03-01T12:00:00.100Z',
  voidedAt: null,
};

export const voidTicketExample: Ticket = { ...ticketExample, status: 'void', voidedAt: '2026-03-02T12:00:00.100Z' };

export const printedTicketExample: PrintedTicket = {
  ...ticketExample,
  bookingId: '0b9ff5ad-5f9c-4b8c-9c39-9d1bb6c1a2f4',
  passenger: { name: 'Amelia Earhart' },
  seat: '12A',
  flight: { id: 1, origin: 'DTW', destination: 'LAS', departsAt: '2001-01-01T00:47' },
};

/** A row of the table, or what a left join finds instead of one. */
interface TicketColumns {
  number: string | null;
  issued_at: Date | null;
  voided_at: Date | null;
}

export function toTicket({ number, issued_at, voided_at }: TicketColumns): Ticket | null {
  if (number === null || issued_at === null) return null;
  return {
    number,
    status: voided_at === null ? 'valid' : 'void',
    issuedAt: issued_at.toISOString(),
    voidedAt: voided_at?.toISOString() ?? null,
  };
}
