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

/** We slept through the lease of the lock, and somebody else was at the seat meanwhile. Nothing was written. */
export class OvertakenProblem extends ProblemException {
  constructor(flightId: number, seat: string) {
    super({
      status: 409,
      code: 'OVERTAKEN',
      detail: `Somebody else was quicker at seat ${seat} of flight ${flightId}. Try again.`,
    });
  }
}
