import { Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { RedisConnections } from '../connection/redis-connections.js';
import { RedstartError } from '../redis.errors.js';
import { durationMs, type Duration } from '../time/duration.js';

export interface RedisHealthOptions {
  /** Which connection to check. @default 'default' */
  connection?: string;
  /** How long Redis may take to answer. @default '1s' */
  timeout?: Duration;
}

/**
 * Tells @nestjs/terminus whether Redis answers. Provide it in the module of your health controller.
 *
 * Sends one PING within `timeout`. The result holds the latency, the breaker's state and, when it is down, a stable code and what a client may be told: health
 * pages are often public, so hosts stay in the log. It never throws.
 *
 * @example
 * this.health.check([() => this.redis.isHealthy('redis')])
 */
@Injectable()
export class RedisHealthIndicator {
  constructor(
    private readonly connections: RedisConnections,
    private readonly health: HealthIndicatorService,
  ) {}

  async isHealthy<Key extends string>(key: Key, options: RedisHealthOptions = {}): Promise<HealthIndicatorResult<Key>> {
    const connection = this.connections.get(options.connection);
    const budgetMs = durationMs(options.timeout ?? '1s', 'RedisHealthIndicator.isHealthy({ timeout })');
    const indicator = this.health.check(key);
    const startedAt = connection.clock.now();
    try {
      await connection.call({ library: 'redis-core', operation: 'health.ping', budgetMs }, (client) => client.ping());
      const latencyMs = Math.round((connection.clock.now() - startedAt) * 100) / 100;
      return indicator.up({ latencyMs, breaker: connection.breakerState });
    } catch (error) {
      const known = error instanceof RedstartError;
      return indicator.down({
        code: known ? error.code : 'UNKNOWN',
        message: (known ? error.response.detail : undefined) ?? 'The health check failed.',
        breaker: connection.breakerState,
      });
    }
  }
}
