import { ProblemException } from '../problem/problem.js';

/** Somebody else has the seat. */
export class SeatTakenProblem extends ProblemException {
  constructor(flightId: number, seat: string, options?: { cause?: unknown }) {
    super(
      {
        status: 409,
        code: 'SEAT_TAKEN',
        detail: `Seat ${seat} of flight ${flightId} is already booked.`,
      },
      options,
    );
  }
}
