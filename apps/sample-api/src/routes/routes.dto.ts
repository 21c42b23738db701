import { z } from 'zod';
import { limit } from '../airports/airports.dto.js';

export const popularRoutesQuery = z.strictObject({ limit });

export const popularRouteSchema = z.object({
  origin: z.string(),
  destination: z.string(),
  bookings: z.int().meta({ description: 'Bookings that are not cancelled' }),
});

export type PopularRoutesQuery = z.infer<typeof popularRoutesQuery>;
export type PopularRoute = z.infer<typeof popularRouteSchema>;

export const popularRouteExample: PopularRoute = { origin: 'DTW', destination: 'LAS', bookings: 42 };
