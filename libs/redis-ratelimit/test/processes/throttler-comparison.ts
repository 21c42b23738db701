import { ThrottlerStorageService } from '@nestjs/throttler';
import fc from 'fast-check';
import { ManualClock } from '@redstart/redis-core';
import type { ThrottlerRule } from '../../src/scripts/throttler.js';
import { LocalThrottler } from '../../src/throttler/local-throttler.js';

/** What this program tells: how many sequences of hits it has compared, and how many of the hits were denied. */
export interface Compared {
  readonly runs: number;
  readonly denials: number;
}

/** What a guard goes by. Of a denial its count is none of it. */
interface Answer {
  readonly allowed: boolean;
  readonly hits?: number;
  readonly retryAfter?: number;
}

const clock = new ManualClock(1_700_000_000_000);
Date.now = () => clock.now();

function answerOf(local: LocalThrottler, key: string, rule: ThrottlerRule): Answer {
  const { allowed, hits, waitMs } = local.hit(key, rule);
  return allowed ? { allowed, hits } : { allowed, retryAfter: Math.ceil(waitMs / 1_000) };
}

async function answerOfTheirs(theirs: ThrottlerStorageService, key: string, rule: ThrottlerRule): Promise<Answer> {
  const { limit, ttlMs, blockMs } = rule;
  const record = await theirs.increment(key, ttlMs, limit, blockMs, 'default');
  return record.isBlocked
    ? { allowed: false, retryAfter: record.timeToBlockExpire }
    : { allowed: true, hits: record.totalHits };
}

let denials = 0;
let run = 0;
const local = new LocalThrottler(1_000_000, clock);
const theirs = new ThrottlerStorageService();
await fc.assert(
  fc.asyncProperty(
    fc.record({
      limit: fc.integer({ min: 1, max: 5 }),
      ttlMs: fc.constantFrom(1, 250, 1_000, 2_500),
      blockMs: fc.constantFrom(0, 1, 100, 250, 1_000, 2_500, 9_999),
    }),
    fc.array(fc.constantFrom(0, 0, 0, 1, 99, 249, 250, 251, 1_000, 2_500), { minLength: 5, maxLength: 60 }),
    async (rule, steps) => {
      const key = `run ${++run}`;
      for (const [index, step] of steps.entries()) {
        clock.advance(step);
        const [ours, other] = [answerOf(local, key, rule), await answerOfTheirs(theirs, key, rule)];
        if (!ours.allowed) denials++;
        if (JSON.stringify(ours) !== JSON.stringify(other)) {
          throw new Error(`Hit ${index}: ${JSON.stringify(ours)} is not ${JSON.stringify(other)}`);
        }
      }
    },
  ),
  { numRuns: 1_000 },
);
theirs.onApplicationShutdown();
const compared: Compared = { runs: run, denials };
process.send?.(compared);
process.disconnect();
