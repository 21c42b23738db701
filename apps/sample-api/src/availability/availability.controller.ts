import { Controller, Get, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { flightParams, type FlightParams } from '../flights/flights.dto.js';
import { ApiCommonProblems, ApiNotFoundProblem } from '../problem/api-problem.decorator.js';
import { type Availability, availabilityExample, availabilitySchema } from './availability.dto.js';
import { AvailabilityService } from './availability.service.js';

@ApiTags('flights')
@Controller('flights/:id/availability')
export class AvailabilityController {
  constructor(private readonly availability: AvailabilityService) {}

  @Get()
  @ApiOperation({ summary: 'How many seats of a flight are free' })
  @ApiOkResponse({
    standardSchema: availabilitySchema,
    description: 'As counted up to five seconds ago; what is free this very moment, the seat map tells',
    example: availabilityExample,
  })
  @ApiCommonProblems('/flights/x/availability', { field: 'id', detail: 'must be a flight id: a positive integer' })
  @ApiNotFoundProblem('/flights/20001/availability', 'There is no flight 20001.', 'UNKNOWN_FLIGHT')
  of(@Param({ schema: flightParams }) { id }: FlightParams): Promise<Availability> {
    return this.availability.of(id);
  }
}
