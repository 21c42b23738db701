import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { ApiCommonProblems } from '../problem/api-problem.decorator.js';
import {
  type PopularRoute,
  popularRouteExample,
  popularRouteSchema,
  popularRoutesQuery,
  type PopularRoutesQuery,
} from './routes.dto.js';
import { RoutesService } from './routes.service.js';

@ApiTags('routes')
@Controller('routes')
export class RoutesController {
  constructor(private readonly routes: RoutesService) {}

  @Get('popular')
  @ApiOperation({ summary: 'The routes that people book most' })
  @ApiOkResponse({
    standardSchema: z.array(popularRouteSchema),
    description: 'The most booked one first; up to half a minute old',
    example: [popularRouteExample],
  })
  @ApiCommonProblems('/routes/popular', { field: 'limit', detail: 'must be an integer from 1 to 100' })
  popular(@Query({ schema: popularRoutesQuery }) { limit }: PopularRoutesQuery): Promise<PopularRoute[]> {
    return this.routes.mostBooked(limit);
  }
}
