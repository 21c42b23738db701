import { HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { eventually, RedisServer } from '@redstart/redis-testing';
import { RedisModule } from '../src/index.js';
import { RedisHealthIndicator } from '../src/terminus/index.js';

describe('RedisHealthIndicator', () => {
  it('is up with the latency while Redis answers, and down with a code when it does not', async () => {
    await using server = await RedisServer.start({ password: 'S3CRET' });
    const app = await Test.createTestingModule({
      imports: [TerminusModule, RedisModule.forRoot({ namespace: 'a', url: server.url })],
      providers: [RedisHealthIndicator],
    }).compile();
    const health = app.get(RedisHealthIndicator);
    expect(app.get(HealthIndicatorService, { strict: false })).toBeDefined();
    // Within its second, which a machine that stalls may miss.
    await eventually(async () => {
      expect(await health.isHealthy('redis')).toEqual({
        redis: { status: 'up', latencyMs: expect.any(Number) as number, breaker: 'closed' },
      });
    });
    server.pause();
    const down = await health.isHealthy('redis', { timeout: '100ms' });
    server.resume();
    expect(down).toMatchObject({ redis: { status: 'down', code: 'REDIS_UNAVAILABLE' } });
    expect(down.redis.message).toBe('Something that this needs is not available at the moment. Try again.');
    const told = JSON.stringify(down);
    for (const secret of ['S3CRET', server.host, `${server.port}`]) expect(told).not.toContain(secret);
    await app.close();
  });
});
