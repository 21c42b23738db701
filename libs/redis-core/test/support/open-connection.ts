import { RedisConnection } from '../../src/connection/redis-connection.js';
import { resolveRedisOptions, type RedisOptionsBase } from '../../src/redis.options.js';

/** A connection outside Nest, open until the end of the scope. */
export interface OpenConnection extends AsyncDisposable {
  readonly connection: RedisConnection;
}

export async function openConnection(options: Omit<RedisOptionsBase, 'namespace'>): Promise<OpenConnection> {
  const connection = new RedisConnection(resolveRedisOptions({ namespace: 'spec', ...options }));
  try {
    await connection.connect();
  } catch (error) {
    await connection.close();
    throw error;
  }
  return { connection, [Symbol.asyncDispose]: () => connection.close() };
}

/** How a call is described in specs; its budget is more than a server on any machine needs. A spec that is about budgets has its own. */
export const aCall = { library: 'spec', operation: 'spec.call', budgetMs: 10_000 } as const;

/** What a promise rejected with; fails the test when it did not reject. */
export async function rejectionOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('Expected a rejection; the promise was fulfilled.');
}
