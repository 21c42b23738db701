import { sql } from 'kysely';
import { Database } from '../src/database/database.js';
import { migrateToLatest } from '../src/database/migrate.js';
import { loadDataSets } from '../src/seed/load-data-sets.js';
import { type StartedDatabase, startEmbedded } from './support/prepared-database.js';

describe('loading the data sets', () => {
  let postgres: StartedDatabase;
  let one: Database;
  let two: Database;

  beforeEach(async () => {
    postgres = await startEmbedded('empty');
    one = new Database({ url: postgres.url, poolSize: 1 });
    two = new Database({ url: postgres.url, poolSize: 1 });
  });
  afterEach(async () => {
    await Promise.all([one.destroy(), two.destroy()]);
    await postgres[Symbol.asyncDispose]();
  });

  const load = async (database: Database) => {
    const lines: string[] = [];
    await migrateToLatest(database);
    await loadDataSets(database, (line) => lines.push(line));
    return lines;
  };
  const count = async (table: 'airports' | 'routes' | 'flights') => {
    const { rows } = await one
      .selectFrom(table)
      .select((is) => is.fn.countAll<string>().as('rows'))
      .executeTakeFirstOrThrow();
    return Number(rows);
  };
  const fingerprint = () =>
    sql`select md5(string_agg(flights::text, ',' order by id)) as all_rows from flights`
      .execute(one)
      .then(({ rows }) => rows);

  it('loads 3,376 airports, 5,366 routes and 20,000 flights, shows its progress, and changes nothing the second time', async () => {
    const first = await load(one);
    expect(first).toContain('Loading airports: 3,376 of 3,376');
    expect(first).toContain('Loading routes: 5,366 of 5,366');
    expect(first).toContain('Loading flights: 10,000 of 20,000');
    expect(first.at(-1)).toBe('Loading flights: 20,000 of 20,000');
    expect([await count('airports'), await count('routes'), await count('flights')]).toEqual([3_376, 5_366, 20_000]);
    const before = await fingerprint();

    expect(await load(one)).toEqual([]);
    // Not even when the marks are lost: every row is recognised by its key.
    await one.deleteFrom('seed_runs').execute();
    await load(one);

    expect([await count('airports'), await count('routes'), await count('flights')]).toEqual([3_376, 5_366, 20_000]);
    expect(await fingerprint()).toEqual(before);
  });

  it('loads once when two processes start at the same moment', async () => {
    const lines = (await Promise.all([load(one), load(two)])).flat();

    expect(lines.filter((line) => line === 'Loading flights: 20,000 of 20,000')).toHaveLength(1);
    expect(await count('flights')).toBe(20_000);
  });

  it('leaves nothing of a data set behind when it fails half way, and completes it the next time', async () => {
    await migrateToLatest(one);
    const failing = loadDataSets(one, (line) => {
      if (line.startsWith('Loading flights: 10,000')) throw new Error('the process died');
    });

    await expect(failing).rejects.toThrow('the process died');
    expect(await count('flights')).toBe(0);
    await load(one);
    expect(await count('flights')).toBe(20_000);
  });
});
