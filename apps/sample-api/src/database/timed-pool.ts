import type { PostgresCursor, PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import { DatabaseTimeoutError } from './database.errors.js';

/**
 * The pool of the driver, as Kysely wants it, with an end to every wait: `limitMs` for a connection and all that is done on it, a transaction as a whole.
 *
 * The driver has a limit of its own (`query_timeout`), which only ends the wait of the caller. The statement goes on, within its transaction, on a connection that
 * somebody else gets next: who then commits what was refused.
 */
export class TimedPool implements PostgresPool {
  readonly #pool: Pool;
  readonly #limitMs: number;

  constructor(pool: Pool, limitMs: number) {
    this.#pool = pool;
    this.#limitMs = limitMs;
  }

  async connect(): Promise<PostgresPoolClient> {
    const until = performance.now() + this.#limitMs;
    return new TimedClient(await this.#pool.connect(), until, this.#limitMs);
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }
}

/**
 * A connection from when it is taken out of the pool until it is given back.
 *
 * It is *sound* until a statement is not answered in time. From then on it is *broken off*: its socket is gone, so that the server undoes what is open; what is asked
 * for behind that (Kysely's ROLLBACK) fails at once, for the same reason; and the pool throws it away. It also throws a sound one away on which a
 * transaction is open.
 */
class TimedClient implements PostgresPoolClient {
  readonly #client: PoolClient;
  readonly #until: number;
  readonly #limitMs: number;
  #brokenOff: DatabaseTimeoutError | undefined;

  constructor(client: PoolClient, until: number, limitMs: number) {
    this.#client = client;
    this.#until = until;
    this.#limitMs = limitMs;
  }

  query<R>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>>;
  query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>;
  query<R>(
    statement: string | PostgresCursor<R>,
    parameters: readonly unknown[] = [],
  ): Promise<PostgresQueryResult<R>> | PostgresCursor<R> {
    if (typeof statement !== 'string') throw new TypeError('Cursors have no limit of time; read with a statement.');
    return this.#ask(statement, parameters);
  }

  release(): void {
    this.#client.release(this.#brokenOff ?? this.#client.getTransactionStatus() !== 'I');
  }

  async #ask<R>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    if (this.#brokenOff) throw this.#brokenOff;
    const client: PostgresPoolClient = this.#client;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(this.#breakOff());
      }, this.#until - performance.now());
    });
    try {
      return await Promise.race([client.query<R>(sql, parameters), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #breakOff(): DatabaseTimeoutError {
    const error = new DatabaseTimeoutError(this.#limitMs);
    this.#brokenOff = error;
    this.#client.connection.stream.destroy();
    return error;
  }
}
