import { Logger } from '@nestjs/common';
import type { AppConfig } from '../config/app-config.js';
import { loadDataSets } from '../seed/load-data-sets.js';
import { messageOf, StartupError, withoutPasswords } from '../startup/startup-error.js';
import { Database } from './database.js';
import { migrateToLatest } from './migrate.js';

/**
 * Makes the database ready before the application is built: reachable, migrated, loaded.
 *
 * @throws StartupError when the database can't be used, in one line without the password
 */
export async function prepareDatabase(config: AppConfig): Promise<void> {
  const logger = new Logger('Database');
  const database = new Database({ url: config.databaseUrl, poolSize: 1 });
  try {
    await database.ping().catch((error: unknown) => {
      throw new StartupError(
        `The database at ${addressOf(config.databaseUrl)} (DATABASE_URL) can't be used: ${messageOf(error)}.`,
      );
    });
    for (const name of await migrateToLatest(database)) logger.log(`Migration ${name} done`);
    await loadDataSets(database, (line) => {
      logger.log(line);
    });
  } finally {
    await database.destroy();
  }
}

/** Where the database is, without user and password. */
function addressOf(url: string): string {
  const { host, pathname } = new URL(url);
  return withoutPasswords(`${host}${pathname}`);
}
