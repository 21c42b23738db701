import { z } from 'zod';
import { airportCode, limit } from '../airports/airports.dto.js';

const LARGEST_ID = 2_147_483_647;

/** The id of a flight in a path: decimal digits, no sign, no leading zero. */
const flightIdText = z
  .string()
  .regex(/^[1-9]\d{0,9}$/, 'must be a flight id: a positive integer')
  .transform(Number)
  .pipe(z.number().max(LARGEST_ID, 'must be a flight id: a positive integer'))
  .meta({ description: 'The id of a flight', example: 1 });

export const flightId = z.int().min(1).max(LARGEST_ID).meta({ description: 'The id of a flight', example: 1 });

export const flightParams = z.strictObject({ id: flightIdText });

export const flightSearchQuery = z.strictObject({
  origin: airportCode,
  destination: airportCode.optional(),
  date: z.iso
    .date('must be a date: 2001-01-31')
    .regex(/^(19|20)/, 'must be a date of the 20th or 21st century')
    .optional()
    .meta({
      description: 'Day of departure, local at the origin; the data covers 2001-01-01 to 2001-03-31',
      example: '2001-01-01',
    }),
  limit,
});

export const flightSchema = z.object({
  id: z.int(),
  origin: z.string(),
  destination: z.string(),
  departsAt: z.string().meta({ description: 'Local time at the origin, without a zone' }),
  delayMinutes: z.int().meta({ description: 'Negative when it arrived early' }),
  distanceMiles: z.int(),
});

export type FlightParams = z.infer<typeof flightParams>;
export type FlightSearchQuery = z.infer<typeof flightSearchQuery>;
export type Flight = z.infer<typeof flightSchema>;

export const flightExample: Flight = {
  id: 1,
  origin: 'DTW',
  destination: 'LAS',
  departsAt: '2001-01-01T00:47',
  delayMinutes: 66,
  distanceMiles: 1750,
};
