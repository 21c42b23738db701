import { inspect } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisUnavailableError } from '@redstart/redis-core';
import type { Ledger } from '../ledger/ledger.js';
import { machineNow, type Effect } from '../ledger/line.js';

/** A message with an id of its own. */
export interface SureMessage {
  readonly wave: string;
  readonly message: string;
  readonly effect?: Effect | undefined;
  readonly delay?: number | undefined;
  /** One call. To repeat it is safe. */
  readonly publish: () => Promise<unknown>;
}

/**
 * Publishes a message again and again until that has succeeded, as a service would do it, and tells the ledger.
 *
 * @returns false when it failed in a way that no outage explains
 */
export async function publishSurely(
  ledger: Ledger,
  { wave, message, effect, delay, publish }: SureMessage,
): Promise<boolean> {
  const firstAt = machineNow();
  for (let attempt = 1; ; attempt += 1) {
    const startedAt = attempt === 1 ? firstAt : machineNow();
    try {
      await publish();
      const dueAt = delay === undefined ? undefined : firstAt + delay;
      await ledger.say(wave, { what: 'published', message, attempt, startedAt, at: machineNow(), effect, dueAt });
      return true;
    } catch (error) {
      if (!(error instanceof RedisUnavailableError)) {
        await ledger.say(wave, { what: 'failed', message, error: inspect(error) });
        return false;
      }
    }
    await sleep(20);
  }
}
