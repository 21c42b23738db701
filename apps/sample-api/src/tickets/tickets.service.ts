import { Injectable, Logger } from '@nestjs/common';
import { UnknownResourceProblem } from '../problem/problem.js';
import type { PrintedTicket } from './tickets.dto.js';
import { TicketNotIssuedProblem } from './tickets.errors.js';
import { TicketsRepository } from './tickets.repository.js';

@Injectable()
export class TicketsService {
  readonly #logger = new Logger('Tickets');

  constructor(private readonly tickets: TicketsRepository) {}

  /** Issues the ticket of a booking. Asking twice is harmless, so a repeated message is too. */
  async issue(bookingId: string): Promise<void> {
    const outcome = await this.tickets.createOnce(bookingId);
    this.#logger.log(`Ticket of booking ${bookingId}: ${outcome}`);
  }

  /** Voids the ticket of a booking. Asking twice is harmless, and so is asking before it was issued. */
  async void(bookingId: string): Promise<void> {
    const outcome = await this.tickets.voidOnce(bookingId);
    this.#logger.log(`Ticket of booking ${bookingId}: ${outcome}`);
  }

  /** Not cached: its reader is waiting for it to appear, or wants to know whether it is still valid. */
  async find(bookingId: string): Promise<PrintedTicket> {
    const ticket = await this.tickets.findByBooking(bookingId);
    if (ticket === undefined) throw new UnknownResourceProblem('booking', bookingId);
    if (ticket === null) throw new TicketNotIssuedProblem(bookingId);
    return ticket;
  }
}
