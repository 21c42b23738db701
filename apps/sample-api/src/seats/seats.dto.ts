import { z } from 'zod';

/** One cabin for every flight. */
export const ROWS = Array.from({ length: 30 }, (_, index) => index + 1);
export const LETTERS = ['A', 'B', 'C', 'D', 'E', 'F'] as const;

export const seat = z
  .string()
  .regex(/^([1-9]|[12]\d|30)[A-Fa-f]$/, 'must be a seat: a row from 1 to 30 and a letter from A to F')
  .toUpperCase()
  .meta({ description: 'Row 1 to 30, letter A to F', example: '12A' });

const seatState = z.enum(['free', 'taken']);

export const seatMapSchema = z.object({
  flightId: z.int(),
  free: z.int().meta({ description: 'How many seats are free' }),
  taken: z.int(),
  rows: z
    .array(z.object({ row: z.int(), seats: z.record(z.enum(LETTERS), seatState) }))
    .meta({ description: 'From the front to the back' }),
});

export type SeatState = z.infer<typeof seatState>;
export type SeatMap = z.infer<typeof seatMapSchema>;

export const seatMapExample: SeatMap = {
  flightId: 1,
  free: 179,
  taken: 1,
  rows: [{ row: 1, seats: { A: 'free', B: 'taken', C: 'free', D: 'free', E: 'free', F: 'free' } }],
};
