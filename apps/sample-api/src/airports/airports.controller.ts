import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { by, RateLimit } from '@redstart/redis-ratelimit';
import { z } from 'zod';
import { ApiCommonProblems, ApiNotFoundProblem, ApiRateLimitProblem } from '../problem/api-problem.decorator.js';
import {
  type Airport,
  airportExample,
  airportParams,
  type AirportParams,
  airportSchema,
  airportSearchQuery,
  type AirportSearchQuery,
  type Route,
  routeExample,
  routeSchema,
} from './airports.dto.js';
import { AirportsService } from './airports.service.js';

const wrongCode = { field: 'code', detail: 'must be an airport code: 3 or 4 letters or digits' };

@ApiTags('airports')
@Controller('airports')
export class AirportsController {
  constructor(private readonly airports: AirportsService) {}

  @Get()
  @RateLimit('search', { key: by.ip() })
  @ApiOperation({ summary: 'Search airports by code, name or city' })
  @ApiOkResponse({
    standardSchema: z.array(airportSchema),
    description: 'The best matches first',
    example: [airportExample],
  })
  @ApiCommonProblems('/airports', { field: 'search', detail: 'must have at least 2 characters' })
  @ApiRateLimitProblem('/airports')
  search(@Query({ schema: airportSearchQuery }) { search, limit }: AirportSearchQuery): Promise<Airport[]> {
    return this.airports.search(search, limit);
  }

  @Get(':code')
  @ApiOperation({ summary: 'One airport' })
  @ApiOkResponse({ standardSchema: airportSchema, description: 'The airport', example: airportExample })
  @ApiCommonProblems('/airports/S', wrongCode)
  @ApiNotFoundProblem('/airports/XXX', 'There is no airport XXX.', 'UNKNOWN_AIRPORT')
  find(@Param({ schema: airportParams }) { code }: AirportParams): Promise<Airport> {
    return this.airports.find(code);
  }

  @Get(':code/routes')
  @ApiOperation({ summary: 'Where one can fly from an airport' })
  @ApiOkResponse({
    standardSchema: z.array(routeSchema),
    description: 'The busiest route first',
    example: [routeExample],
  })
  @ApiCommonProblems('/airports/S/routes', wrongCode)
  @ApiNotFoundProblem('/airports/XXX/routes', 'There is no airport XXX.', 'UNKNOWN_AIRPORT')
  routes(@Param({ schema: airportParams }) { code }: AirportParams): Promise<Route[]> {
    return this.airports.routesFrom(code);
  }
}
