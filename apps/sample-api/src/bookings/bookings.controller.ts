import { Body, Controller, Delete, Get, Param, Post } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { by, RateLimit } from '@redstart/redis-ratelimit';
import {
  ApiCommonProblems,
  ApiNotFoundProblem,
  ApiRateLimitProblem,
  ApiSeatTakenProblem,
  JsonBody,
} from '../problem/api-problem.decorator.js';
import {
  type Booking,
  bookingExample,
  bookingParams,
  type BookingParams,
  bookingRequest,
  type BookingRequest,
  bookingSchema,
  cancelledBookingExample,
  ticketedBookingExample,
} from './bookings.dto.js';
import { BookingsService } from './bookings.service.js';

@ApiTags('bookings')
@Controller('bookings')
export class BookingsController {
  constructor(private readonly bookings: BookingsService) {}

  @Post()
  @RateLimit('booking', { key: by.ip() })
  @ApiOperation({ summary: 'Book a seat of a flight' })
  @ApiCreatedResponse({
    standardSchema: bookingSchema,
    description: 'Booked; the ticket follows',
    example: bookingExample,
  })
  @ApiCommonProblems('/bookings', {
    field: 'seat',
    detail: 'must be a seat: a row from 1 to 30 and a letter from A to F',
  })
  @ApiNotFoundProblem('/bookings', 'There is no flight 20001.', 'UNKNOWN_FLIGHT')
  @ApiSeatTakenProblem()
  @ApiRateLimitProblem('/bookings')
  @JsonBody('/bookings')
  book(@Body({ schema: bookingRequest }) request: BookingRequest): Promise<Booking> {
    return this.bookings.book(request);
  }

  @Get(':id')
  @ApiOperation({ summary: 'One booking, with its ticket once it is issued' })
  @ApiOkResponse({ standardSchema: bookingSchema, description: 'The booking', example: ticketedBookingExample })
  @ApiCommonProblems('/bookings/1', { field: 'id', detail: 'must be a booking id: a UUID' })
  @ApiNotFoundProblem(`/bookings/${bookingExample.id}`, `There is no booking ${bookingExample.id}.`, 'UNKNOWN_BOOKING')
  find(@Param({ schema: bookingParams }) { id }: BookingParams): Promise<Booking> {
    return this.bookings.find(id);
  }

  @Delete(':id')
  @ApiOperation({ summary: 'Cancel a booking; doing it again changes nothing' })
  @ApiOkResponse({
    standardSchema: bookingSchema,
    description: 'The booking, cancelled. Its seat is free; its ticket is void a moment later',
    example: cancelledBookingExample,
  })
  @ApiCommonProblems('/bookings/1', { field: 'id', detail: 'must be a booking id: a UUID' })
  @ApiNotFoundProblem(`/bookings/${bookingExample.id}`, `There is no booking ${bookingExample.id}.`, 'UNKNOWN_BOOKING')
  cancel(@Param({ schema: bookingParams }) { id }: BookingParams): Promise<Booking> {
    return this.bookings.cancel(id);
  }
}
