import { Injectable, Logger } from '@nestjs/common';
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
}
