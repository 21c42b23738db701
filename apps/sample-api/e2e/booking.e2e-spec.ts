import { RedisServer } from '@redstart/redis-testing';
import { databaseFolder } from '../test/support/database-folder.js';
import { serveEmbedded, startApi } from './support/processes.js';
import { eventually } from '../test/support/eventually.js';
import { HttpClient } from '../test/support/http-client.js';

interface Flight {
  id: number;
}
interface Booking {
  id: string;
  seat: string;
  ticket: { number: string } | null;
}

const json = async <T>(response: Response): Promise<T> => (await response.json()) as T;
const post = (url: string, body: object) =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

/** As SECURITY.md recommends. */
const restricted = [
  ...['resetkeys', '~flights:*', 'resetchannels', '&flights:*', '&__redis__:invalidate'],
  ...['+@all', '-@dangerous', '-@admin', '+info', '+command', '+cluster|slots'],
];

describe('booking a flight', () => {
  it('goes from the search to the ticket, with every pattern of Redis on the way', async () => {
    await using folder = await databaseFolder('loaded');
    await using redis = await RedisServer.start({ args: ['--user', 'flights', 'on', '>S3CRET', ...restricted] });
    const own = `redis://flights:S3CRET@127.0.0.1:${redis.port}`;
    const { served, url } = await serveEmbedded(folder.path);
    await using _served = served;
    const { api, address } = await startApi({ DATABASE_URL: url, REDIS_URL: own, SEARCHES_PER_MINUTE: '3' });
    await using _api = api;
    const stored = (pattern: string) => redis.ask((client) => client.keys(pattern));

    // Search: cached by the second request, limited by the fourth.
    const search = () => fetch(`${address}/airports?search=detroit`);
    const found = await search();
    expect(found.status).toBe(200);
    expect(found.headers.get('ratelimit')).toContain('r=2');
    expect(await json<{ code: string }[]>(found)).toContainEqual(expect.objectContaining({ code: 'DTW' }));
    await search();
    await search();
    // What has been loaded is stored behind the answer.
    await eventually(async () => {
      expect(await stored('flights:cache:*detroit*')).toHaveLength(1);
    });
    // The fourth, unless the machine was so busy that one of them was counted by the process itself.
    let denied = await search();
    for (let more = 0; more < 3 && denied.status === 200; more += 1) denied = await search();
    expect(denied.status).toBe(429);
    expect(Number(denied.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(denied.headers.get('content-type')).toMatch(/^application\/problem\+json/);

    const [flight] = await json<Flight[]>(await fetch(`${address}/flights?origin=DTW&limit=1`));
    if (flight === undefined) throw new Error('No flight leaves from DTW.');

    // Book: one of two gets the seat, and its ticket follows by the stream.
    const book = () =>
      new HttpClient(address).bookPatiently({
        flightId: flight.id,
        seat: '12a',
        passenger: { name: 'Amelia Earhart' },
      });
    const answers = await Promise.all([book(), book()]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409]);
    const refused = answers.find(({ status }) => status === 409);
    expect(refused?.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    const booked = answers.find(({ status }) => status === 201)?.body as Booking;
    expect(booked).toMatchObject({ seat: '12A', ticket: null });
    await eventually(
      async () => {
        const booking = await json<Booking>(await fetch(`${address}/bookings/${booked.id}`));
        expect(booking.ticket?.number).toMatch(/^999-\d{10}$/);
      },
      { within: 30_000 },
    );
    expect(await stored('flights:stream:{bookings}')).toHaveLength(1);
    expect((await book()).status).toBe(409);
    // At once, on a machine that does not stall.
    await eventually(async () => {
      const availability = await json<object>(await fetch(`${address}/flights/${flight.id}/availability`));
      expect(availability).toMatchObject({ free: 179, taken: 1 });
      expect(await stored(`flights:availability:{${flight.id}}*`)).toHaveLength(2); // With its fence.
    });
    await eventually(async () => {
      expect(await json<object>(await fetch(`${address}/health`))).toMatchObject({
        status: 'ok',
        details: { database: { status: 'up' }, redis: { status: 'up' } },
      });
    });

    // None of it has asked for more than it may.
    expect(await redis.ask((client) => client.call('ACL', 'LOG'))).toEqual([]);

    // Redis goes away: reads go on from the database, a booking is refused in so many words, and one can still be cancelled.
    await redis.kill();
    expect((await fetch(`${address}/airports/DTW`)).status).toBe(200);
    const outage = await post(`${address}/bookings`, { flightId: flight.id, seat: '1A', passenger: { name: 'A B' } });
    expect(outage.status).toBe(503);
    expect(Number(outage.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(outage.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    const told = await outage.text();
    expect(told).toContain('"detail"');
    expect(told).not.toMatch(/127\.0\.0\.1|localhost|flights:/);
    expect((await fetch(`${address}/health`)).status).toBe(503);
    expect((await fetch(`${address}/bookings/${booked.id}`, { method: 'DELETE' })).status).toBe(200);
    expect(await json<object>(await fetch(`${address}/flights/${flight.id}/seats`))).toMatchObject({ taken: 0 });

    // And comes back, empty: everything works again without a restart, and what was put off is made up for.
    await redis.restart();
    let rebooked = '';
    await eventually(
      async () => {
        const again = await post(`${address}/bookings`, {
          flightId: flight.id,
          seat: '1A',
          passenger: { name: 'Bessie Coleman' },
        });
        expect(again.status).toBe(201);
        rebooked = (await json<Booking>(again)).id;
      },
      { within: 30_000 },
    );
    await eventually(
      async () => {
        expect((await json<Booking>(await fetch(`${address}/bookings/${rebooked}`))).ticket).not.toBeNull();
      },
      { within: 30_000 },
    );
    await eventually(
      async () => {
        const ticket = await json<object>(await fetch(`${address}/bookings/${booked.id}/ticket`));
        expect(ticket).toMatchObject({ status: 'void', seat: '12A' });
      },
      { within: 30_000 },
    );

    api.child.kill('SIGTERM');
    expect(await api.ended).toMatchObject({ signal: 'SIGTERM', stderr: '' });
  });
});
