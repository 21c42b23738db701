import { type Insertable, sql, type Transaction } from 'kysely';
import type { Database } from '../database/database.js';
import type { DatabaseSchema } from '../database/schema.js';
import { airports, type DataSet, flights, routes } from './data-sets.js';

const ROWS_PER_INSERT = 1_000;
const ROWS_PER_PROGRESS_LINE = 5_000;
/** Any number, as long as nobody else takes an advisory lock on it in this database. */
const SEED_LOCK = 7_263_001;

type Report = (line: string) => void;

/**
 * Loads the data sets that this database does not have yet. Loading again changes nothing.
 *
 * Each data set is one transaction under an advisory lock: a second process waits, then finds the mark of the first;
 * a process that dies half way leaves nothing behind.
 */
export async function loadDataSets(database: Database, report: Report): Promise<void> {
  await loadOnce(database, airports, report);
  await loadOnce(database, routes, report);
  await loadOnce(database, flights, report);
}

async function loadOnce<Table extends 'airports' | 'routes' | 'flights'>(
  database: Database,
  dataSet: DataSet<Table, Insertable<DatabaseSchema[Table]>>,
  report: Report,
): Promise<void> {
  if (await isLoaded(database, dataSet.table)) return;
  const rows = await dataSet.read();
  await database.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${SEED_LOCK})`.execute(transaction);
    if (await isLoaded(transaction, dataSet.table)) return;
    await insertAll(transaction, dataSet.table, rows, report);
    await transaction.insertInto('seed_runs').values({ data_set: dataSet.table, row_count: rows.length }).execute();
  });
}

async function isLoaded(database: Database | Transaction<DatabaseSchema>, table: string): Promise<boolean> {
  const mark = await database
    .selectFrom('seed_runs')
    .select('data_set')
    .where('data_set', '=', table)
    .executeTakeFirst();
  return mark !== undefined;
}

async function insertAll<Table extends 'airports' | 'routes' | 'flights'>(
  transaction: Transaction<DatabaseSchema>,
  table: Table,
  rows: Insertable<DatabaseSchema[Table]>[],
  report: Report,
): Promise<void> {
  for (let done = 0; done < rows.length;) {
    const batch = rows.slice(done, done + ROWS_PER_INSERT);
    await transaction
      .insertInto(table)
      .values(batch)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    done += batch.length;
    if (done % ROWS_PER_PROGRESS_LINE === 0 || done === rows.length) {
      report(`Loading ${table}: ${done.toLocaleString('en')} of ${rows.length.toLocaleString('en')}`);
    }
  }
}
