import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { withoutPasswords } from '../startup/startup-error.js';
import type { DatabaseSchema } from './schema.js';
import { TimedPool } from './timed-pool.js';

export interface DatabaseOptions {
  readonly url: string;
  readonly poolSize: number;
  /** How long a statement outside a transaction, or a transaction, may take together with the wait for its connection; without it as long as it likes. */
  readonly limitMs?: number;
}

/** The share of the limit in which there has to be a connection. The rest is left to what is done on it. */
const CONNECTING = 0.8;
const UNHURRIED_MS = 5_000;

/**
 * The server gives up a little earlier than we do: then the connection lives on. And it does so when we are gone, so that nobody's locks stay. The embedded
 * database knows no such limits.
 */
const limitsOfServer = (limitMs: number) => ({
  statement_timeout: limitMs * 0.8,
  idle_in_transaction_session_timeout: limitMs,
});

/** The one way to the database: a pool of `pg` connections under Kysely's query builder. */
export class Database extends Kysely<DatabaseSchema> implements OnApplicationShutdown {
  constructor({ url, poolSize, limitMs }: DatabaseOptions) {
    // A departure time has no zone: parsed into a `Date` it would move with the zone of the server. It stays text.
    const types = new pg.TypeOverrides();
    types.setTypeParser(pg.types.builtins.TIMESTAMP, (text: string) => text);
    const pool = new pg.Pool({
      connectionString: url,
      max: poolSize,
      connectionTimeoutMillis: limitMs === undefined ? UNHURRIED_MS : limitMs * CONNECTING,
      application_name: 'sample-api',
      types,
      ...(limitMs === undefined ? {} : limitsOfServer(limitMs)),
    });
    // A connection that breaks tells its statement, which rejects, and raises an event besides, which would end the process if nobody listened. Of
    // those that are in use the pool doesn't.
    pool.on('connect', (client) => client.on('error', ignoreHere));
    // An idle connection is replaced at the next query.
    const logger = new Logger('Database');
    pool.on('error', (error) => {
      logger.warn(`An idle connection was lost: ${withoutPasswords(error.message)}`);
    });
    super({ dialect: new PostgresDialect({ pool: limitMs === undefined ? pool : new TimedPool(pool, limitMs) }) });
  }

  async ping(): Promise<void> {
    await sql`select 1`.execute(this);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.destroy();
  }
}

function ignoreHere(): void {
  // Whoever runs a statement hears of it.
}
