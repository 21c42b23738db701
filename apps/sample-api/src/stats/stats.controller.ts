import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Stats, statsExample, statsSchema } from './stats.dto.js';
import { StatsService } from './stats.service.js';

@ApiTags('stats')
@Controller('stats')
export class StatsController {
  constructor(private readonly stats: StatsService) {}

  @Get()
  @ApiOperation({ summary: 'What the libraries have done in this process so far' })
  @ApiOkResponse({ standardSchema: statsSchema, description: 'Counts since the start', example: statsExample })
  read(): Stats {
    return this.stats.read();
  }
}
