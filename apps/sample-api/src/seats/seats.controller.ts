import { Controller, Get, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { flightParams, type FlightParams } from '../flights/flights.dto.js';
import { ApiCommonProblems, ApiNotFoundProblem } from '../problem/api-problem.decorator.js';
import { type SeatMap, seatMapExample, seatMapSchema } from './seats.dto.js';
import { SeatsService } from './seats.service.js';

@ApiTags('flights')
@Controller('flights/:id/seats')
export class SeatsController {
  constructor(private readonly seats: SeatsService) {}

  @Get()
  @ApiOperation({ summary: 'The seat map of a flight' })
  @ApiOkResponse({
    standardSchema: seatMapSchema,
    description: 'Every seat, free or taken (the example is cut short)',
    example: seatMapExample,
  })
  @ApiCommonProblems('/flights/x/seats', { field: 'id', detail: 'must be a flight id: a positive integer' })
  @ApiNotFoundProblem('/flights/20001/seats', 'There is no flight 20001.', 'UNKNOWN_FLIGHT')
  map(@Param({ schema: flightParams }) { id }: FlightParams): Promise<SeatMap> {
    return this.seats.mapOf(id);
  }
}
