import { sql } from 'kysely';
import { DatabaseTimeoutError, isDatabaseUnavailable } from '../src/database/database.errors.js';
import { Database } from '../src/database/database.js';
import { migrateToLatest } from '../src/database/migrate.js';
import { OutboxRepository } from '../src/outbox/outbox.repository.js';
import { insertFlights } from './support/few-flights.js';
import { describeHanging, onceForAll, oneConnection } from './support/hanging-database.js';
import { describeOnPostgres, PostgresServer } from './support/postgres-server.js';
import type { PreparedDatabase } from './support/prepared-database.js';

const FLIGHTS = 30;

async function preparePostgres(): Promise<PreparedDatabase> {
  const server = await PostgresServer.start();
  const database = new Database({ url: server.url, poolSize: 5, limitMs: 10_000 });
  await migrateToLatest(database);
  await insertFlights(database, FLIGHTS);
  return {
    url: server.url,
    database,
    async [Symbol.asyncDispose]() {
      await database.destroy();
      await server.stop();
    },
  };
}

describeOnPostgres('on a Postgres server', () => {
  const prepared = onceForAll(preparePostgres);

  describe('while it hangs', () => {
    describeHanging(prepared);
  });

  it('the server gives up as well, so that nothing waits there for a caller who has gone', async () => {
    const { database, url } = prepared();
    await using one = oneConnection(url);
    await database.transaction().execute(async (other) => {
      await sql`lock table bookings in share mode`.execute(other);
      const seat = { flight_id: 1, seat: '30F', passenger_name: 'late' };
      const late: unknown = await one.database
        .insertInto('bookings')
        .values(seat)
        .execute()
        .catch((error: unknown) => error);
      expect(isDatabaseUnavailable(late)).toBe(true);
      expect(late).not.toBeInstanceOf(DatabaseTimeoutError);
    });
    // The connection has outlived it.
    const { rows } = await sql`select count(*)::int as count from bookings where seat = '30F'`.execute(one.database);
    expect(rows).toEqual([{ count: 0 }]);
  });

  it('a transaction in which nobody asks ends by itself, and its locks with it', async () => {
    const { database, url } = prepared();
    await using one = oneConnection(url, 1_500);
    let found: unknown;
    const asleep = one.database.transaction().execute(async (transaction) => {
      await sql`select * from flights where id = 1 for update`.execute(transaction);
      // As the process would that stands still: asks nothing until somebody else has the row.
      found = await database.selectFrom('flights').select('id').where('id', '=', 1).forUpdate().execute();
      await sql`select 1`.execute(transaction);
    });
    const refused: unknown = await asleep.catch((error: unknown) => error);
    expect(isDatabaseUnavailable(refused)).toBe(true);
    expect(found).toEqual([{ id: 1 }]);
  });

  describe('relays that claim at the same moment', () => {
    beforeEach(async () => {
      await sql`truncate bookings, tickets, outbox`.execute(prepared().database);
      await sql`
        with booked as (
          insert into bookings (flight_id, seat, passenger_name)
          select 1 + n / 180, ((n % 180) / 6 + 1) || chr(65 + n % 6), 'Amelia Earhart' from generate_series(0, 399) as n
          returning id
        )
        insert into outbox (type, booking_id) select 'booking.created', id from booked`.execute(prepared().database);
    });
    const claim = (limit: number) => new OutboxRepository(prepared().database).claimDue({ limit, forSeconds: 60 });

    it('leave the rows alone that another one is claiming, and do not wait for it', async () => {
      const [first, second] = await prepared().database.selectFrom('outbox').select('id').orderBy('position').execute();
      const claimed = await prepared()
        .database.transaction()
        .execute(async (other) => {
          await other
            .selectFrom('outbox')
            .select('id')
            .where('id', '=', first?.id ?? '')
            .forUpdate()
            .execute();
          await using one = oneConnection(prepared().url, 5_000);
          return await new OutboxRepository(one.database).claimDue({ limit: 1, forSeconds: 60 });
        });
      expect(claimed).toMatchObject([{ id: second?.id }]);
    });

    it('never get the same row', async () => {
      const batches = await Promise.all(Array.from({ length: 20 }, () => claim(20)));
      const ids = batches.flat().map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      let left = await claim(400);
      for (; left.length > 0; left = await claim(400)) ids.push(...left.map(({ id }) => id));
      expect(new Set(ids).size).toBe(400);
      expect(ids).toHaveLength(400);
    });
  });
});
