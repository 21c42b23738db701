import { Test } from '@nestjs/testing';
import { getRedisConnectionToken, RedisModule, type RedisConnection } from '@redstart/redis-core';
import { eventually } from '@redstart/redis-testing';
import { CacheKeys, type CoherenceKeys } from '../../src/keys.js';
import { Coherence, type CoherenceOptions } from '../../src/near/coherence.js';
import type { Connection } from '../app.js';

/** A process that only listens. */
export interface Listening extends AsyncDisposable {
  readonly connection: RedisConnection;
  readonly coherence: Coherence;
  readonly keys: CacheKeys;
  /** What it has heard of, in order. */
  readonly heard: string[];
  readonly gaps: number;
  readonly coherent: boolean;
  /** The Redis key of a value. */
  at(key: string): string;
}

/** Long enough for a machine that stalls; the specs that are about the bound have their own. */
const patientMs = 30_000;

export async function listen(
  to: Connection,
  options: Partial<CoherenceOptions> = {},
  change: (keys: CoherenceKeys) => CoherenceKeys = (keys) => keys,
): Promise<Listening> {
  const module = await Test.createTestingModule({
    imports: [RedisModule.forRoot({ namespace: 'shop', ...to })],
  }).compile();
  const context = await module.init();
  const connection = context.get<RedisConnection>(getRedisConnectionToken());
  const heard: string[] = [];
  let gaps = 0;
  const keys = CacheKeys.of(connection.keys, 'default');
  const coherence = new Coherence(
    connection,
    { mode: 'auto', maxLagMs: patientMs, ...options },
    change(keys.coherence()),
    {
      // Its own canary, and those of others, are heard as well.
      onChanged: (names) => heard.push(...names.filter((name) => !name.endsWith(':canary'))),
      onGap: () => (gaps += 1),
    },
  );
  coherence.start();
  return {
    connection,
    coherence,
    keys,
    heard,
    get gaps() {
      return gaps;
    },
    get coherent() {
      return connection.clock.now() < coherence.trustedUntil;
    },
    at: (key) => keys.entry(key).value,
    [Symbol.asyncDispose]: async () => {
      coherence.stop();
      await context.close();
    },
  };
}

export async function listenUntilCoherent(...parameters: Parameters<typeof listen>): Promise<Listening> {
  const listening = await listen(...parameters);
  await eventually(() => listening.coherent, { within: 30_000 });
  return listening;
}
