import { sql } from 'kysely';
import { Database } from '../src/database/database.js';
import { flightBooking } from '../src/database/migrations/0001-flight-booking.js';
import { cancellingAndOutbox } from '../src/database/migrations/0002-cancelling-and-outbox.js';
import { type StartedDatabase, startEmbedded } from './support/prepared-database.js';

let postgres: StartedDatabase;
let database: Database;

beforeAll(async () => {
  postgres = await startEmbedded('empty');
  database = new Database({ url: postgres.url, poolSize: 1 });
});
afterAll(async () => {
  await database.destroy();
  await postgres[Symbol.asyncDispose]();
});

const query = async (text: string) => (await sql.raw(text).execute(database)).rows;

describe('the migration to cancelling and outbox', () => {
  it('has the bookings announced that have no ticket yet, and can be taken back', async () => {
    await flightBooking.up(database);
    await query(`
      insert into airports (code, name, country, latitude, longitude) values ('AAA', 'A', 'USA', 0, 0), ('BBB', 'B', 'USA', 0, 0);
      insert into flights values (1, 'AAA', 'BBB', '2001-01-01', 0, 1);
      insert into bookings (flight_id, seat, passenger_name) values (1, '1A', 'with a ticket'), (1, '1B', 'without one');
      insert into tickets (booking_id) select id from bookings where passenger_name = 'with a ticket';`);

    await cancellingAndOutbox.up(database);
    expect(
      await query('select type, passenger_name from outbox join bookings on bookings.id = outbox.booking_id'),
    ).toEqual([{ type: 'booking.created', passenger_name: 'without one' }]);
    await query(`
      update bookings set cancelled_at = now() where seat = '1A';
      insert into bookings (flight_id, seat, passenger_name) values (1, '1A', 'later');`);

    await cancellingAndOutbox.down?.(database);
    expect(await query('select passenger_name from bookings order by seat')).toEqual([
      { passenger_name: 'later' },
      { passenger_name: 'without one' },
    ]);
    await expect(
      query(`insert into bookings (flight_id, seat, passenger_name) values (1, '1A', 'too late')`),
    ).rejects.toThrow('bookings_flight_id_seat_key');
  });
});
