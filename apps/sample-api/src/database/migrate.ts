import { type Migration, Migrator } from 'kysely';
import type { Database } from './database.js';
import { flightBooking } from './migrations/0001-flight-booking.js';
import { cancellingAndOutbox } from './migrations/0002-cancelling-and-outbox.js';

/** In order of their names. A migration that was released is never edited; add the next one. */
const migrations: Record<string, Migration> = {
  '0001-flight-booking': flightBooking,
  '0002-cancelling-and-outbox': cancellingAndOutbox,
};

/**
 * Brings the schema to its newest version and returns the names of the migrations that were needed.
 *
 * Safe when several processes start at once: the migrator takes an advisory lock, reads its state and migrates in one transaction.
 */
export async function migrateToLatest(database: Database): Promise<string[]> {
  const migrator = new Migrator({ db: database, provider: { getMigrations: () => Promise.resolve(migrations) } });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error !== undefined) throw error instanceof Error ? error : new Error('A migration failed.', { cause: error });
  return results.map(({ migrationName }) => migrationName);
}
