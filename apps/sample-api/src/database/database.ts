import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { withoutPasswords } from '../startup/startup-error.js';
import type { DatabaseSchema } from './schema.js';

export interface DatabaseOptions {
  readonly url: string;
  readonly poolSize: number;
  /** How long a statement may take, in milliseconds; without it as long as it likes. */
  readonly queryTimeoutMs?: number;
}

/** The one way to the database: a pool of `pg` connections under Kysely's query builder. */
export class Database extends Kysely<DatabaseSchema> implements OnApplicationShutdown {
  constructor({ url, poolSize, queryTimeoutMs }: DatabaseOptions) {
    // A departure time has no zone: parsed into a `Date` it would move with the zone of the server. It stays text.
    const types = new pg.TypeOverrides();
    types.setTypeParser(pg.types.builtins.TIMESTAMP, (text: string) => text);
    const pool = new pg.Pool({
      connectionString: url,
      max: poolSize,
      connectionTimeoutMillis: 5_000,
      application_name: 'sample-api',
      types,
      ...(queryTimeoutMs === undefined ? {} : { query_timeout: queryTimeoutMs }),
    });
    // A connection that breaks tells its statement, which rejects, and raises an event besides, which would end the process if nobody listened. Of
    // those that are in use the pool doesn't.
    pool.on('connect', (client) => client.on('error', ignoreHere));
    // An idle connection is replaced at the next query.
    const logger = new Logger('Database');
    pool.on('error', (error) => {
      logger.warn(`An idle connection was lost: ${withoutPasswords(error.message)}`);
    });
    super({ dialect: new PostgresDialect({ pool }) });
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
