import { z } from 'zod';

/** An airport code as users type it: any case, three characters (IATA) or up to four (FAA). */
export const airportCode = z
  .string()
  .regex(/^[A-Za-z0-9]{3,4}$/, 'must be an airport code: 3 or 4 letters or digits')
  .toUpperCase()
  .meta({ description: 'IATA code, or FAA location id where there is none', example: 'SFO' });

/** Free text that a user typed: no control characters, no broken surrogates. */
export const printable = (minimum: number, maximum: number) =>
  z
    .string()
    .trim()
    .min(minimum)
    .max(maximum)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'must not contain control characters');

export const limit = z
  .string()
  .regex(/^\d{1,3}$/, 'must be an integer from 1 to 100')
  .transform(Number)
  .pipe(z.number().min(1).max(100))
  .default(20)
  .meta({ description: 'How many to return at most, 1 to 100', example: 20 });

export const airportParams = z.strictObject({ code: airportCode });

export const airportSearchQuery = z.strictObject({
  search: printable(2, 50).meta({
    description: 'Part of a name or of a city, or the beginning of a code',
    example: 'san fran',
  }),
  limit,
});

export const airportSchema = z.object({
  code: z.string(),
  name: z.string(),
  city: z.string().nullable(),
  state: z.string().nullable(),
  country: z.string(),
  latitude: z.number(),
  longitude: z.number(),
});

export const routeSchema = z.object({
  origin: z.string(),
  destination: z.string(),
  destinationName: z.string(),
  destinationCity: z.string().nullable(),
  flights: z.int().meta({ description: 'Flights in the year of the data set' }),
});

export type AirportParams = z.infer<typeof airportParams>;
export type AirportSearchQuery = z.infer<typeof airportSearchQuery>;
export type Airport = z.infer<typeof airportSchema>;
export type Route = z.infer<typeof routeSchema>;

export const airportExample: Airport = {
  code: 'SFO',
  name: 'San Francisco International',
  city: 'San Francisco',
  state: 'CA',
  country: 'USA',
  latitude: 37.61900194,
  longitude: -122.3748433,
};

export const routeExample: Route = {
  origin: 'SFO',
  destination: 'LAX',
  destinationName: 'Los Angeles International',
  destinationCity: 'Los Angeles',
  flights: 13788,
};
