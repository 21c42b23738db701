import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, type RedisServer } from '@redstart/redis-testing';
import type { Suite } from '../stage/suite.js';
import { minIdleMs } from '../stage/timing.js';
import { streamKey } from '../stage/stream-view.js';

const withAof = ['--appendonly', 'yes', '--appendfsync', 'always'];

/** What happens to the server that has the stream. */
export function serverFaults(chaos: Suite): void {
  const owner = () => chaos.site.serverOf(streamKey);

  chaos.fault('FLUSHALL', async (wave) => {
    const server = await owner();
    await wave.loses(() => server.flush());
    wave.faultEnds();
    return 1;
  });

  chaos.fault('SCRIPT FLUSH', async (wave) => {
    const server = await owner();
    await server.ask((redis) => redis.script('FLUSH'));
    wave.faultEnds();
    return 1;
  });

  chaos.fault('SIGSTOP of Redis beyond minIdle', async (wave) => {
    const server = await owner();
    server.pause();
    try {
      await sleep(minIdleMs * 1.2);
    } finally {
      server.resume();
    }
    wave.faultEnds();
    return 1;
  });

  chaos.fault('Redis restarted without data', async (wave) => {
    const server = await owner();
    await wave.loses(() => server.restart());
    wave.faultEnds();
    return 1;
  });

  // The last one, since it changes how the server keeps its data. Nothing that was acknowledged may be missing.
  chaos.fault('Redis restarted with its data (AOF)', async (wave) => {
    const server = await owner();
    await keepData(server);
    await server.restart({ extraArgs: withAof });
    wave.faultEnds();
    return 1;
  });
}

/** Every command is on disk before it is answered. */
async function keepData(server: RedisServer): Promise<void> {
  await server.ask((redis) => redis.config('SET', 'appendonly', 'yes', 'appendfsync', 'always'));
  await eventually(
    async () => {
      const persistence = await server.ask((redis) => redis.info('persistence'));
      expect(persistence).toMatch(/^aof_rewrite_in_progress:0/m);
      expect(persistence).toMatch(/^aof_rewrite_scheduled:0/m);
      expect(persistence).toMatch(/^aof_last_bgrewrite_status:ok/m);
    },
    { within: 30_000 },
  );
}
