import { defineScript } from '@redstart/redis-core';

/** The count that Redis keeps of an entry holds two numbers: so many times its trials, and its deliveries. */
export const trialUnit = 1_000_000;

/** What the count that Redis keeps of an entry says. */
export interface DeliveryCount {
  /** How often it has been delivered, this time included. */
  readonly deliveries: number;
  /** How many trials of it did not come to an end: whoever tried it has died, as far as is known. */
  readonly trials: number;
}

export function readCount(count: number): DeliveryCount {
  return { deliveries: count % trialUnit, trials: Math.floor(count / trialUnit) };
}

export function writeCount({ deliveries, trials }: DeliveryCount): number {
  return trials * trialUnit + deliveries;
}

/**
 * Notes on an entry that its consumer still owns that it is being tried, in the count of its deliveries, where it outlives the consumer. The count is given whole, so a repetition changes nothing.
 *
 * KEYS  stream
 * ARGV  group, consumer, id, count
 * Returns  1 noted · 0 not owned any more (nothing was changed)
 */
export const trialScript = defineScript<boolean>({
  name: 'streams:trial',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    if not redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])[1] then return 0 end
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'RETRYCOUNT', ARGV[4], 'JUSTID')
    return 1
  `,
  parse: (reply) => reply === 1,
});
