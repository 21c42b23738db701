import { Database } from '../../src/database/database.js';
import { EmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { databaseFolder, type Template } from './database-folder.js';

/** How long a test waits for a statement: what waits for itself fails, and does not hang. */
const LIMIT_MS = 10_000;

export interface PreparedDatabase extends AsyncDisposable {
  readonly url: string;
  readonly database: Database;
}

/** The embedded database, on a folder of its own that goes with it. */
export interface StartedDatabase extends AsyncDisposable {
  readonly url: string;
  readonly whenCrashed: Promise<void>;
}

export async function startEmbedded(content: Template): Promise<StartedDatabase> {
  const folder = await databaseFolder(content);
  const postgres = await EmbeddedPostgres.start({ dataFolder: folder.path });
  return {
    url: postgres.url,
    whenCrashed: postgres.whenCrashed,
    async [Symbol.asyncDispose]() {
      await postgres.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** A real database, migrated and loaded, for one spec file. */
export async function prepareDatabase(): Promise<PreparedDatabase> {
  const postgres = await startEmbedded('loaded');
  const database = new Database({ url: postgres.url, poolSize: 5, limitMs: LIMIT_MS });
  return {
    url: postgres.url,
    database,
    async [Symbol.asyncDispose]() {
      await database.destroy();
      await postgres[Symbol.asyncDispose]();
    },
  };
}
