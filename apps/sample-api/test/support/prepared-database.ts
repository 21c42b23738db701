import { Database } from '../../src/database/database.js';
import { EmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { migrateToLatest } from '../../src/database/migrate.js';
import { loadDataSets } from '../../src/seed/load-data-sets.js';

export interface PreparedDatabase extends AsyncDisposable {
  readonly url: string;
  readonly database: Database;
}

/** A real database in memory, migrated and loaded, for one spec file. */
export async function prepareDatabase(): Promise<PreparedDatabase> {
  const postgres = await EmbeddedPostgres.start();
  const database = new Database({ url: postgres.url, poolSize: 5 });
  await migrateToLatest(database);
  await loadDataSets(database, () => undefined);
  return {
    url: postgres.url,
    database,
    async [Symbol.asyncDispose]() {
      await database.destroy();
      await postgres.stop();
    },
  };
}
