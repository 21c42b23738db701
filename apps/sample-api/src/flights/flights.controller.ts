import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { ApiCommonProblems, ApiNotFoundProblem } from '../problem/api-problem.decorator.js';
import {
  type Flight,
  flightExample,
  flightParams,
  type FlightParams,
  flightSchema,
  flightSearchQuery,
  type FlightSearchQuery,
} from './flights.dto.js';
import { FlightsService } from './flights.service.js';

@ApiTags('flights')
@Controller('flights')
export class FlightsController {
  constructor(private readonly flights: FlightsService) {}

  @Get()
  @ApiOperation({ summary: 'Flights from an airport, to another one, on a day' })
  @ApiOkResponse({ standardSchema: z.array(flightSchema), description: 'The earliest first', example: [flightExample] })
  @ApiCommonProblems('/flights', { field: 'date', detail: 'must be a date: 2001-01-31' })
  search(@Query({ schema: flightSearchQuery }) query: FlightSearchQuery): Promise<Flight[]> {
    return this.flights.search(query);
  }

  @Get(':id')
  @ApiOperation({ summary: 'One flight' })
  @ApiOkResponse({ standardSchema: flightSchema, description: 'The flight', example: flightExample })
  @ApiCommonProblems('/flights/x', { field: 'id', detail: 'must be a flight id: a positive integer' })
  @ApiNotFoundProblem('/flights/20001', 'There is no flight 20001.', 'UNKNOWN_FLIGHT')
  find(@Param({ schema: flightParams }) { id }: FlightParams): Promise<Flight> {
    return this.flights.find(id);
  }
}
