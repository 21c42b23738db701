import { Controller, Get, ServiceUnavailableException } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type HealthCheckResult, HealthCheckService } from '@nestjs/terminus';
import { RedisHealthIndicator } from '@redstart/redis-core/terminus';
import { ApiUnhealthyProblem } from '../problem/api-problem.decorator.js';
import { DatabaseHealth } from './database.health.js';
import { UnhealthyProblem } from './health.errors.js';

@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly database: DatabaseHealth,
    private readonly redis: RedisHealthIndicator,
  ) {}

  @Get()
  @ApiOperation({ summary: 'Whether the service and what it depends on are up' })
  @ApiOkResponse({
    description: 'Everything is up',
    example: { status: 'ok', info: { database: { status: 'up' } }, error: {}, details: { database: { status: 'up' } } },
  })
  @ApiUnhealthyProblem()
  async check(): Promise<HealthCheckResult> {
    try {
      return await this.health.check([() => this.database.check(), () => this.redis.isHealthy('redis')]);
    } catch (error) {
      if (error instanceof ServiceUnavailableException) throw new UnhealthyProblem(error.getResponse());
      throw error;
    }
  }
}
