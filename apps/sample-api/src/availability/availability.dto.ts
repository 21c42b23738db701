import { z } from 'zod';

export const availabilitySchema = z.object({
  flightId: z.int(),
  free: z.int().meta({ description: 'How many seats were free' }),
  taken: z.int(),
  countedAt: z.iso.datetime().meta({ description: 'When they were counted: up to five seconds ago' }),
});

export type Availability = z.infer<typeof availabilitySchema>;

export const availabilityExample: Availability = {
  flightId: 1,
  free: 179,
  taken: 1,
  countedAt: '2026-03-01T12:00:00.000Z',
};
