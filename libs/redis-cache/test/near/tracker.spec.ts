import { jest } from '@jest/globals';
import { getRedisConnectionToken, ManualClock, type RedisConnection } from '@redstart/redis-core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { Tracker } from '../../src/near/tracker.js';
import { startCache } from '../app.js';

describeOn(standalone)('the trust of a tracker', (redis) => {
  it('counts from when a sign of life was asked for, however late its answer is', async () => {
    await using app = await startCache(redis.connection, { near: false });
    const connection = app.context.get<RedisConnection>(getRedisConnectionToken());
    const clock = new ManualClock();
    const maxLagMs = 900;
    const lateMs = 200;
    const asked: number[] = [];
    const trusted: number[] = [];
    /** Each answer to a PING takes its time. */
    const open = () => {
      const client = connection.tracking();
      const ping = client.ping.bind(client);
      jest.spyOn(client, 'ping').mockImplementation(async () => {
        const sentAt = clock.now();
        const pong = await ping();
        clock.advance(lateMs);
        asked.push(sentAt);
        return pong;
      });
      return client;
    };
    const ignore = () => undefined;
    const tracker = new Tracker(
      {
        clock,
        prefix: 'shop:cache:',
        maxLagMs,
        open,
        close: (client) => {
          connection.release(client);
        },
        canaryKey: () => 'shop:cache:{near}:canary',
        writeCanary: async (key) => {
          await redis.client().set(key, '', 'PX', 60_000);
        },
      },
      {
        onChanged: ignore,
        onGap: ignore,
        onRefused: ignore,
        onTrouble: ignore,
        onTrust: () => trusted.push(tracker.trustedUntil),
      },
    );
    tracker.start();
    try {
      await eventually(() => tracker.trustedUntil > 0);
      for (let beat = 0; beat < 3; beat += 1) {
        const before = trusted.length;
        clock.advance(maxLagMs / 3);
        await eventually(() => trusted.length > before);
      }
      expect(trusted.every((until) => asked.includes(until - maxLagMs))).toBe(true);
      expect(tracker.trustedUntil).toBe(Math.max(...asked) + maxLagMs);
    } finally {
      tracker.stop();
    }
  });
});
