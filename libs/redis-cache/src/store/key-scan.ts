import { mastersOf, type RedisCall, type RedisConnection } from '@redstart/redis-core';

/** What one step of a search has found. */
export interface ScanStep {
  readonly keys: readonly string[];
  /** Masters that have been searched to the end, of `masters`. */
  readonly done: number;
  readonly masters: number;
}

/** Redis is not to stand still for long: so many keys are looked at with one SCAN. */
const perScan = 500;

/**
 * Looks through all keys of Redis for those that begin so, on every master: SCAN, in small steps. A key may come twice.
 *
 * @param prefix as Redis has it, without a pattern
 * @throws RedisUnavailableError · the reason of `signal`
 */
export async function* scanKeys(
  connection: RedisConnection,
  call: RedisCall,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<ScanStep, void> {
  const pattern = `${prefix.replace(/[\\*?[\]^]/g, '\\$&')}*`;
  const masters = await connection.call(call, (client) => Promise.resolve(mastersOf(client)));
  for (const [index, master] of masters.entries()) {
    let cursor = '0';
    do {
      signal?.throwIfAborted();
      const from = cursor;
      const [next, keys] = await connection.call(call, () => master.scan(from, 'MATCH', pattern, 'COUNT', perScan));
      cursor = next;
      yield { keys, done: cursor === '0' ? index + 1 : index, masters: masters.length };
    } while (cursor !== '0');
  }
}
