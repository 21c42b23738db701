import type { TopologyUnderTest } from '@redstart/redis-testing';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { resolveLockOptions } from '../../src/lock.options.js';
import { LockRuntime } from '../../src/lock-runtime.js';
import { DrivenHost } from '../driven-host.js';
import { Listener } from './heard.js';

/** Of everything: what is to lapse in a trial is made to. */
export const ttlMs = 60_000;
/** How many callers there are at a time. */
export const slots = 6;
export const mostly = fc.integer({ min: 0, max: 4 }).map((n) => n > 0);

/** What a trial does things with. */
export interface Workbench {
  readonly runtime: LockRuntime;
  readonly client: Redis;
  readonly listener: Listener;
}

/** Checks that fencing tokens rise, of answers and of messages. */
export class RisingFences {
  /** Of the answers to the present act. */
  readonly answered: number[] = [];
  #highest = 0;

  /** @param heard those of the messages of the present act */
  expectRising(heard: readonly number[]): void {
    for (const fence of [...this.answered.splice(0), ...heard].sort((a, b) => a - b)) {
      expect(fence).toBeGreaterThan(this.#highest);
      this.#highest = fence;
    }
  }
}

/** Mostly one that holds something lets go, so that much happens. */
export function holderNear<S>(slot: number, all: readonly (S | undefined)[], holds: (one: S) => boolean): number {
  const holders = all.flatMap((one, at) => (one !== undefined && holds(one) ? [at] : []));
  return holders[slot % holders.length] ?? slot;
}

const trials = 40;
const mostRounds = 5;
/** They take seconds; a busy machine may need much longer, and is to compare as much. */
export const trialsTimeoutMs = 180_000;

/** @param run does everything that the case says, and returns how many were given something by a message */
export async function tryOut<C>(
  redis: TopologyUnderTest,
  cases: fc.Arbitrary<C>,
  run: (bench: Workbench, subject: string, one: C) => Promise<number>,
): Promise<void> {
  await using host = await DrivenHost.start(redis.connection);
  const patient = { ttl: ttlMs, queueLease: ttlMs, claimTtl: ttlMs, commandTimeout: '5s' } as const;
  const runtime = new LockRuntime(host.connection, resolveLockOptions(patient));
  const listener = await Listener.start(redis.server.client(), runtime.keysOf('any').wake);
  const bench = { runtime, listener, client: redis.server.client() };
  let subject = 0;
  let pushed = 0;
  // Without hand-overs little would have been compared. There are twice as many as trials on average, but too few in one round of a thousand.
  for (let round = 0; round < mostRounds && pushed <= trials; round++) {
    await fc.assert(
      fc.asyncProperty(cases, async (one) => {
        pushed += await run(bench, `order:${subject++}`, one);
      }),
      { numRuns: trials },
    );
  }
  expect(pushed).toBeGreaterThan(trials);
}
