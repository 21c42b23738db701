import { Controller, Get, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { bookingParams, type BookingParams } from '../bookings/bookings.dto.js';
import { ApiCommonProblems, ApiNoTicketProblem } from '../problem/api-problem.decorator.js';
import { type PrintedTicket, printedTicketExample, printedTicketSchema } from './tickets.dto.js';
import { TicketsService } from './tickets.service.js';

@ApiTags('bookings')
@Controller('bookings/:id/ticket')
export class TicketsController {
  constructor(private readonly tickets: TicketsService) {}

  @Get()
  @ApiOperation({ summary: 'The ticket of a booking' })
  @ApiOkResponse({
    standardSchema: printedTicketSchema,
    description: 'The ticket; `void` when its booking was cancelled',
    example: printedTicketExample,
  })
  @ApiCommonProblems('/bookings/1/ticket', { field: 'id', detail: 'must be a booking id: a UUID' })
  @ApiNoTicketProblem(printedTicketExample.bookingId)
  find(@Param({ schema: bookingParams }) { id }: BookingParams): Promise<PrintedTicket> {
    return this.tickets.find(id);
  }
}
