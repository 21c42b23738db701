import { ProblemException } from '../problem/problem.js';

/** The booking exists, its ticket does not yet. */
export class TicketNotIssuedProblem extends ProblemException {
  constructor(bookingId: string) {
    super({
      status: 404,
      code: 'TICKET_NOT_ISSUED',
      detail: `The ticket of booking ${bookingId} is not issued yet. Try again in a moment.`,
    });
  }
}
