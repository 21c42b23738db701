import { gzipSync } from 'node:zlib';
import { jest } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { LockService } from '@redstart/redis-lock';
import { RedisServer } from '@redstart/redis-testing';
import { sql } from 'kysely';
import { BookingsRepository } from '../src/bookings/bookings.repository.js';
import { createApp } from '../src/app.js';
import { AppConfig } from '../src/config/app-config.js';
import { TicketsService } from '../src/tickets/tickets.service.js';
import { eventually } from './support/eventually.js';
import { giveTime } from './support/give-time.js';
import { type Answer, HttpClient, KeptConnection } from './support/http-client.js';
import { ownTime } from './support/own-time.js';
import { type PreparedDatabase, prepareDatabase } from './support/prepared-database.js';

let prepared: PreparedDatabase;
let redis: RedisServer;
let app: INestApplication;
let client: HttpClient;
/** Of every spec but the one of a Redis that hangs. */
let time: Disposable;

beforeAll(async () => {
  [prepared, redis] = await Promise.all([prepareDatabase(), RedisServer.start()]);
  app = await createApp(
    AppConfig.from({ DATABASE_URL: prepared.url, REDIS_URL: redis.url, BOOKINGS_PER_MINUTE: '1000' }),
  );
  time = giveTime(app);
  await app.listen(0, '127.0.0.1');
  client = new HttpClient(await app.getUrl());
});
afterAll(async () => {
  await app.close();
  await prepared[Symbol.asyncDispose]();
  await redis.stop();
});

const get = (path: string) => client.get(path);
const post: HttpClient['post'] = (...request) => client.post(...request);
const book = (body: unknown) => client.bookPatiently(body);
const cancel = (id: string) => client.cancel(id);
const passenger = { name: 'Amelia Earhart' };

/** A problem body is complete, has its own content type and tells nothing of the inside. */
function expectProblem(
  { status, type, body }: Answer,
  expected: { status: number; instance: string; detail: unknown },
) {
  expect(type).toMatch(/^application\/problem\+json/);
  expect(body).toMatchObject({ type: expect.any(String) as string, title: expect.any(String) as string, ...expected });
  expect(status).toBe(expected.status);
  expect(JSON.stringify(body)).not.toMatch(/postgres|node_modules|\bat .*:\d+:\d+/);
}

describe('reading', () => {
  it('answers airports, their routes and flights', async () => {
    await expect(get('/airports/sfo')).resolves.toMatchObject({
      status: 200,
      body: { code: 'SFO', city: 'San Francisco' },
    });
    await expect(get('/airports?search=san%20fran&limit=1')).resolves.toMatchObject({
      status: 200,
      body: [{ code: 'SFO' }],
    });
    await expect(get('/airports/SFO/routes')).resolves.toMatchObject({
      status: 200,
      body: expect.any(Array) as unknown[],
    });
    await expect(get('/flights/1')).resolves.toMatchObject({
      status: 200,
      body: { origin: 'DTW', destination: 'LAS' },
    });
    await expect(get('/flights?origin=dtw&date=2001-01-01&limit=1')).resolves.toMatchObject({
      status: 200,
      body: [{ id: 1 }],
    });
  });

  it('answers an empty list of routes for an airport without flights, and 404 for an unknown airport', async () => {
    await expect(get('/airports/00M/routes')).resolves.toMatchObject({ status: 200, body: [] });
    expectProblem(await get('/airports/XXX/routes'), {
      status: 404,
      instance: '/airports/XXX/routes',
      detail: 'There is no airport XXX.',
    });
  });

  it.each([
    ['/airports/XXX', 'There is no airport XXX.'],
    ['/flights/20001', 'There is no flight 20001.'],
    ['/bookings/00000000-0000-4000-8000-000000000000', 'There is no booking 00000000-0000-4000-8000-000000000000.'],
    [
      '/bookings/00000000-0000-4000-8000-000000000000/ticket',
      'There is no booking 00000000-0000-4000-8000-000000000000.',
    ],
    ['/flights/20001/seats', 'There is no flight 20001.'],
    ['/flights/20001/availability', 'There is no flight 20001.'],
    ['/nowhere', 'Cannot GET /nowhere'],
  ])('answers 404 for %s', async (instance, detail) => {
    expectProblem(await get(instance), { status: 404, instance, detail });
  });

  it.each(['/airports/%ZZ', '/airports/%E0%A4%A', '/bookings/%'])(
    'answers 400 for a path that can not be decoded: %s',
    async (path) => {
      const refused = await get(path);
      expectProblem(refused, { status: 400, instance: path, detail: expect.stringMatching(/^The path/) });
      expect(refused.body).toMatchObject({ code: 'MALFORMED_PATH' });
    },
  );

  it.each([
    ['/airports/S', 'code'],
    ['/airports/%C3%9Fa', 'code'],
    ['/airports/SF%00', 'code'],
    ['/airports', 'search'],
    ['/airports?search=a', 'search'],
    ['/airports?search=ab&search=cd', 'search'],
    ['/airports?search=a%00b', 'search'],
    [`/airports?search=${'x'.repeat(51)}`, 'search'],
    ['/airports?search=ab&limit=0', 'limit'],
    ['/airports?search=ab&limit=101', 'limit'],
    ['/airports?search=ab&limit=1e1', 'limit'],
    ['/airports?search=ab&serach=cd', ''],
    ['/flights', 'origin'],
    ['/flights?origin=SFO&date=2001-02-29', 'date'],
    ['/flights?origin=SFO&date=0000-01-01', 'date'],
    ['/flights/0', 'id'],
    ['/flights/2147483648', 'id'],
    ['/flights/1.0', 'id'],
    ['/bookings/1', 'id'],
    ['/bookings/1/ticket', 'id'],
    ['/flights/0/seats', 'id'],
    ['/flights/0/availability', 'id'],
    ['/routes/popular?limit=0', 'limit'],
  ])('answers 400 for %s and names the field', async (path, field) => {
    const refused = await get(path);
    expectProblem(refused, { status: 400, instance: path.replace(/\?.*/, ''), detail: expect.any(String) });
    expect(refused.body).toMatchObject({ code: 'INVALID_REQUEST', errors: [{ field }] });
  });
});

describe('booking', () => {
  it('answers 201 with the booking, which has its ticket once that is issued', async () => {
    const booked = await book({ flightId: 1, seat: '12a', passenger: { name: '  Amelia Earhart ' } });
    expect(booked).toMatchObject({ status: 201, body: { flightId: 1, seat: '12A', passenger, ticket: null } });
    const { id } = booked.body as { id: string };

    await eventually(async () => {
      await expect(get(`/bookings/${id.toUpperCase()}`)).resolves.toMatchObject({
        status: 200,
        body: { ...(booked.body as object), ticket: { number: expect.stringMatching(/^999-\d{10}$/) as string } },
      });
    });
  });

  it('has one ticket, however often its message comes', async () => {
    const { id } = (await book({ flightId: 2, seat: '1A', passenger })).body as { id: string };
    const tickets = app.get(TicketsService);
    await Promise.all([tickets.issue(id), tickets.issue(id), tickets.issue(id)]);
    const { rows } = await sql`select count(*)::int as count from tickets where booking_id = ${id}`.execute(
      prepared.database,
    );
    expect(rows).toEqual([{ count: 1 }]);
  });

  it('takes names of any script', async () => {
    for (const [index, name] of ['李小龙', 'نیلوفر‌جان', 'Zoë Ångström-O’Neill', 'கமலா'].entries()) {
      const booked = await book({ flightId: 17, seat: `${index + 1}A`, passenger: { name } });
      expect(booked).toMatchObject({ status: 201, body: { passenger: { name } } });
    }
  });

  it('answers 409 for a seat that is taken', async () => {
    await book({ flightId: 10, seat: '1A', passenger });
    const refused = await book({ flightId: 10, seat: '1a', passenger });
    expectProblem(refused, { status: 409, instance: '/bookings', detail: 'Seat 1A of flight 10 is already booked.' });
  });

  it('sells a seat to one of two who ask at the same moment', async () => {
    const answers = await Promise.all([1, 2].map(() => book({ flightId: 11, seat: '1A', passenger })));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409]);
  });

  it('sells a seat once also without the lock: the unique index answers 409', async () => {
    const locks = app.get(LockService);
    const tryWithLock = locks.tryWithLock.bind(locks);
    let locksOfTheirOwn = 0;
    // Each caller gets a lock that nobody else asks for.
    const lockOff = jest
      .spyOn(locks, 'tryWithLock')
      .mockImplementation((key, options, work) =>
        tryWithLock([key, (locksOfTheirOwn += 1)].flat().map(String), options, work),
      );
    try {
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => book({ flightId: 14, seat: '1A', passenger })),
      );
      const refused = [
        ...answers.filter(({ status }) => status !== 201),
        await book({ flightId: 14, seat: '1A', passenger }),
      ];
      expect(locksOfTheirOwn).toBeGreaterThanOrEqual(21); // one for each attempt
      expect(refused).toHaveLength(20);
      for (const refusal of refused)
        expectProblem(refusal, { status: 409, instance: '/bookings', detail: expect.any(String) });
      expect(refused.at(-1)?.body).toMatchObject({ code: 'SEAT_TAKEN' });
    } finally {
      lockOff.mockRestore();
    }
  });

  it('refuses a holder who was overtaken, also when the seat is free again', async () => {
    const create = BookingsRepository.prototype.create;
    let wake: () => void = () => undefined;
    const asleep = new Promise<void>((resolve) => (wake = resolve));
    const first = jest.spyOn(BookingsRepository.prototype, 'create').mockImplementationOnce(async function (
      this: BookingsRepository,
      ...booking
    ) {
      await asleep;
      return create.apply(this, booking);
    });
    try {
      const late = book({ flightId: 15, seat: '1A', passenger });
      await eventually(() => {
        expect(first).toHaveBeenCalledTimes(1);
      });
      expect(await app.get(LockService).forceRelease(['seat', 15, '1A'])).toBe(true);
      const quicker = await book({ flightId: 15, seat: '1A', passenger });
      expect(quicker.status).toBe(201);
      expect((await cancel((quicker.body as { id: string }).id)).status).toBe(200);
      wake();

      const refused = await late;
      expectProblem(refused, { status: 409, instance: '/bookings', detail: expect.any(String) });
      expect(refused.body).toMatchObject({ code: 'OVERTAKEN' });
      await expect(get('/flights/15/seats')).resolves.toMatchObject({ body: { free: 180, taken: 0 } });
    } finally {
      first.mockRestore();
    }
  });

  it('answers 201 for what was committed, also when the lock got lost behind it', async () => {
    const create = BookingsRepository.prototype.create;
    const lossy = jest.spyOn(BookingsRepository.prototype, 'create').mockImplementationOnce(async function (
      this: BookingsRepository,
      ...booking
    ) {
      const created = await create.apply(this, booking);
      await app.get(LockService).forceRelease(['seat', 16, '1A']);
      return created;
    });
    const findById = jest.spyOn(BookingsRepository.prototype, 'findById');
    try {
      await expect(book({ flightId: 16, seat: '1A', passenger })).resolves.toMatchObject({
        status: 201,
        body: { flightId: 16, seat: '1A', status: 'booked' },
      });
      expect(findById).toHaveBeenCalledTimes(1);
    } finally {
      lossy.mockRestore();
      findById.mockRestore();
    }
  });

  it('answers 404 for an unknown flight', async () => {
    const refused = await book({ flightId: 20_001, seat: '1A', passenger });
    expectProblem(refused, { status: 404, instance: '/bookings', detail: 'There is no flight 20001.' });
  });

  it.each([
    ['a seat outside the cabin', { flightId: 1, seat: '31A', passenger }, 'seat'],
    ['a seat with a leading zero', { flightId: 1, seat: '01A', passenger }, 'seat'],
    ['a flight id as text', { flightId: '1', seat: '1A', passenger }, 'flightId'],
    ['a fraction of a flight', { flightId: 1.5, seat: '1A', passenger }, 'flightId'],
    ['a name of spaces', { flightId: 1, seat: '1A', passenger: { name: '   ' } }, 'passenger.name'],
    [
      'a name of nothing to be seen',
      { flightId: 1, seat: '1A', passenger: { name: '\u200B\u2060\u3164' } },
      'passenger.name',
    ],
    ['a name that turns the text', { flightId: 1, seat: '1A', passenger: { name: 'A\u202EB' } }, 'passenger.name'],
    ['a name with a NUL', { flightId: 1, seat: '1A', passenger: { name: 'a\u0000b' } }, 'passenger.name'],
    ['no passenger', { flightId: 1, seat: '1A' }, 'passenger'],
    ['an unknown key', { flightId: 1, seat: '1A', passenger, price: 0 }, ''],
    ['an unknown key inside', { flightId: 1, seat: '1A', passenger: { ...passenger, age: 1 } }, 'passenger'],
    ['a list', [], ''],
  ])('answers 400 for %s', async (_, body, field) => {
    const refused = await book(body);
    expectProblem(refused, { status: 400, instance: '/bookings', detail: expect.any(String) });
    expect(refused.body).toMatchObject({ code: 'INVALID_REQUEST', errors: [{ field }] });
  });
});

describe('cancelling', () => {
  const bookNew = async (flightId: number, seat: string) =>
    ((await book({ flightId, seat, passenger })).body as { id: string }).id;
  const statusOfTicket = async (id: string) =>
    ((await get(`/bookings/${id}/ticket`)).body as { status: string }).status;

  it('frees the seat at once and voids the ticket; again it changes nothing', async () => {
    const id = await bookNew(20, '1A');
    await eventually(async () => {
      expect(await statusOfTicket(id)).toBe('valid');
    });

    const cancelled = await cancel(id);

    expect(cancelled).toMatchObject({
      status: 200,
      body: { id, status: 'cancelled', cancelledAt: expect.any(String) as string },
    });
    await expect(get('/flights/20/seats')).resolves.toMatchObject({ body: { free: 180 } });
    await eventually(async () => {
      expect(await statusOfTicket(id)).toBe('void');
    });
    const { body } = await get(`/bookings/${id}`);
    expect(body).toMatchObject({ ticket: { status: 'void', voidedAt: expect.any(String) as string } });
    await expect(cancel(id)).resolves.toMatchObject({ status: 200, body });
    expect((await book({ flightId: 20, seat: '1A', passenger })).status).toBe(201);
  });

  it('right after booking ends with one void ticket', async () => {
    const ids = await Promise.all(['A', 'B', 'C', 'D', 'E', 'F'].map((letter) => bookNew(21, `1${letter}`)));
    await Promise.all(ids.flatMap((id) => [cancel(id), cancel(id)]));
    await eventually(async () => {
      for (const id of ids) expect(await statusOfTicket(id)).toBe('void');
    });
    const { rows } = await sql`
      select count(*)::int as tickets from tickets join bookings on bookings.id = tickets.booking_id
      where flight_id = 21`.execute(prepared.database);
    expect(rows).toEqual([{ tickets: 6 }]);
  });

  it('an unknown booking is a 404', async () => {
    const instance = '/bookings/00000000-0000-4000-8000-000000000000';
    expectProblem(await cancel('00000000-0000-4000-8000-000000000000'), {
      status: 404,
      instance,
      detail: 'There is no booking 00000000-0000-4000-8000-000000000000.',
    });
  });
});

describe('a ticket', () => {
  it('shows who flies when from where to where; until it is issued it is a 404 of its own', async () => {
    const issue = jest.spyOn(app.get(TicketsService), 'issue').mockRejectedValueOnce(new Error('not yet'));
    try {
      const { id } = (await book({ flightId: 1, seat: '9F', passenger })).body as { id: string };
      const missing = await get(`/bookings/${id}/ticket`);
      expectProblem(missing, { status: 404, instance: `/bookings/${id}/ticket`, detail: expect.any(String) });
      expect(missing.body).toMatchObject({ code: 'TICKET_NOT_ISSUED' });

      await app
        .get(TicketsService)
        .issue(id)
        .catch(() => app.get(TicketsService).issue(id));
      await expect(get(`/bookings/${id}/ticket`)).resolves.toMatchObject({
        status: 200,
        body: {
          bookingId: id,
          number: expect.stringMatching(/^999-\d{10}$/) as string,
          status: 'valid',
          passenger,
          seat: '9F',
          flight: { id: 1, origin: 'DTW', destination: 'LAS', departsAt: '2001-01-01T00:47' },
        },
      });
    } finally {
      issue.mockRestore();
    }
  });
});

describe('the seat map', () => {
  it('has 30 rows of six seats, and shows a booking at once', async () => {
    const seatsOf = async () =>
      (await get('/flights/22/seats')).body as { free: number; rows: { row: number; seats: Record<string, string> }[] };
    const empty = await seatsOf();
    expect(empty.free).toBe(180);
    expect(empty.rows.map(({ row }) => row)).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
    expect(empty.rows.map(({ seats }) => Object.keys(seats).join(''))).toEqual(
      Array.from({ length: 30 }, () => 'ABCDEF'),
    );

    await book({ flightId: 22, seat: '17C', passenger });

    const taken = (await seatsOf()).rows.flatMap(({ row, seats }) =>
      Object.entries(seats).flatMap(([letter, state]) => (state === 'taken' ? [`${row}${letter}`] : [])),
    );
    expect(taken).toEqual(['17C']);
  });
});

describe('popular routes', () => {
  it('are counted from the bookings and cached, so that a booking does not change them at once', async () => {
    const popular = async () => (await get('/routes/popular?limit=100')).body as { bookings: number }[];
    await book({ flightId: 23, seat: '1A', passenger });
    const before = await popular();
    // What has been loaded is stored behind the answer.
    await eventually(async () => {
      expect(await redis.ask((server) => server.exists('flights:cache:{popular-routes:100}'))).toBe(1);
    });
    expect(before.length).toBeGreaterThan(0);
    const counts = before.map(({ bookings }) => bookings);
    expect(counts).toEqual(counts.toSorted((a, b) => b - a));
    await book({ flightId: 23, seat: '1B', passenger });
    expect(await popular()).toEqual(before);
  });
});

describe('a body', () => {
  const booking = JSON.stringify({ flightId: 20_001, seat: '1A', passenger });
  const refusal = (status: number, detail: unknown) => ({ status, instance: '/bookings', detail });

  it.each<[string, string | Uint8Array, string | null]>([
    ['of text', booking, 'text/plain'],
    ['of a form', 'flightId=1&seat=1A', 'application/x-www-form-urlencoded'],
    ['of XML', '<booking/>', 'application/xml'],
    ['of another kind of JSON', booking, 'application/vnd.api+json'],
    ['that is not declared', booking, null],
    ['in another charset', Buffer.from(booking, 'latin1'), 'application/json; charset=iso-8859-1'],
  ])('%s is a 415 that names what is expected', async (_, body, type) => {
    const refused = await post('/bookings', body, type);
    expectProblem(refused, refusal(415, expect.stringMatching(/application\/json|UTF-8/)));
    expect(refused.body).toMatchObject({ code: 'UNSUPPORTED_MEDIA_TYPE' });
  });

  it.each([
    ['gzip', 400, 'MALFORMED_ENCODING'],
    ['br', 400, 'MALFORMED_ENCODING'],
    ['deflate', 400, 'MALFORMED_ENCODING'],
    ['compress', 415, 'UNSUPPORTED_ENCODING'],
  ])('that is not %s as its Content-Encoding says is a %i with the code %s', async (encoding, status, code) => {
    const refused = await client.post('/bookings', booking, 'application/json', { 'content-encoding': encoding });
    expectProblem(refused, refusal(status, expect.stringContaining('Content-Encoding')));
    expect(refused.body).toMatchObject({ code });
  });

  it('may be packed', async () => {
    const packed = await client.post('/bookings', gzipSync(booking), 'application/json', {
      'content-encoding': 'gzip',
    });
    expectProblem(packed, refusal(404, 'There is no flight 20001.'));
  });

  it.each(['{"flightId":', '{flightId: 1}', '{"flightId":1}}', ' '])('of malformed JSON is a 400: %s', async (body) => {
    const refused = await post('/bookings', body);
    expectProblem(refused, refusal(400, expect.stringMatching(/^The body is not valid JSON: ./)));
    expect(refused.body).toMatchObject({ code: 'MALFORMED_JSON' });
  });

  it.each<[string, string | null, string | null, string]>([
    ['that is not there', null, null, 'The body is missing'],
    ['of null', 'null', 'application/json', 'The body must be an object'],
    ['of a list', '[]', 'application/json', 'The body must be an object'],
    ['of text in JSON', '"1A"', 'application/json', 'The body must be an object'],
    ['that is empty', '', 'application/json', 'flightId: is missing; seat: is missing; passenger: is missing'],
  ])('%s is a 400 that says so', async (_, body, type, detail) => {
    expectProblem(await post('/bookings', body, type), refusal(400, detail));
  });

  it('may be UTF-16, as long as it says so and is', async () => {
    const type = 'application/json; charset=utf-16';
    const bytes = Buffer.from(booking, 'utf16le');
    expectProblem(await post('/bookings', bytes, type), refusal(404, 'There is no flight 20001.'));
    expectProblem(
      await post('/bookings', booking, type),
      refusal(400, expect.stringMatching(/^The body is not valid/)),
    );
  });

  it('that is too large is a 413 that names the limit', async () => {
    const refused = await post('/bookings', JSON.stringify({ seat: 'x'.repeat(20_000) }));
    expectProblem(refused, refusal(413, 'The body is larger than 16384 bytes.'));
    expect(refused.body).toMatchObject({ code: 'BODY_TOO_LARGE' });
  });
});

describe('what is wrong', () => {
  const text = 'x'.repeat(101);

  it.each<[string, unknown, string]>([
    ['nothing but a seat', { seat: '1A' }, 'flightId: is missing; passenger: is missing'],
    ['a flight id as text', { flightId: '1', seat: '1A', passenger }, 'flightId: must be a number'],
    ['a fraction of a flight', { flightId: 1.5, seat: '1A', passenger }, 'flightId: must be an integer'],
    ['flight 0', { flightId: 0, seat: '1A', passenger }, 'flightId: must be at least 1'],
    ['a seat as a number', { flightId: 1, seat: 1, passenger }, 'seat: must be text'],
    ['a name as a passenger', { flightId: 1, seat: '1A', passenger: 'A' }, 'passenger: must be an object'],
    ['no name', { flightId: 1, seat: '1A', passenger: {} }, 'passenger.name: is missing'],
    [
      'a blank name',
      { flightId: 1, seat: '1A', passenger: { name: ' ' } },
      'passenger.name: must have at least 1 character',
    ],
    [
      'a long name',
      { flightId: 1, seat: '1A', passenger: { name: text } },
      'passenger.name: must have at most 100 characters',
    ],
    ['an unknown key', { flightId: 1, seat: '1A', passenger, x: 0 }, 'The body has an unknown key: "x"'],
    [
      'one inside',
      { flightId: 1, seat: '1A', passenger: { name: 'A', x: 0, y: 0 } },
      'passenger: has unknown keys: "x", "y"',
    ],
  ])('with a booking reads after the name of the field: %s', async (_, body, detail) => {
    expectProblem(await book(body), { status: 400, instance: '/bookings', detail });
  });

  it.each([
    ['/airports', 'search: is missing'],
    ['/airports?search=a', 'search: must have at least 2 characters'],
    ['/airports?search=ab&search=cd', 'search: must be text'],
    ['/airports?search=ab&limit=101', 'limit: must be at most 100'],
    ['/airports?search=ab&serach=cd', 'The query has an unknown key: "serach"'],
    ['/flights?origin=S', 'origin: must be an airport code: 3 or 4 letters or digits'],
  ])('with a query does so, too: %s', async (path, detail) => {
    expectProblem(await get(path), { status: 400, instance: path.replace(/\?.*/, ''), detail });
  });
});

/** What the document says of one endpoint, as far as it is read here. */
interface Operation {
  responses: Record<string, { content?: object }>;
}

describe('the documentation', () => {
  const operations = async () => {
    const { paths } = (await get('/docs-json')).body as { paths: Record<string, Record<string, Operation>> };
    return Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { responses }]) => ({ method, path, responses })),
    );
  };

  it('describes every endpoint with its problems and an example of each answer', async () => {
    const documented = await operations();
    expect(
      documented.map(({ method, path, responses }) => `${method} ${path} ${Object.keys(responses).join(' ')}`),
    ).toEqual([
      'get /airports 200 400 429 503',
      'get /airports/{code} 200 400 404 503',
      'get /airports/{code}/routes 200 400 404 503',
      'get /flights 200 400 503',
      'get /flights/{id} 200 400 404 503',
      'get /flights/{id}/seats 200 400 404 503',
      'get /flights/{id}/availability 200 400 404 503',
      'get /routes/popular 200 400 503',
      'post /bookings 201 400 404 409 413 415 429 503',
      'get /bookings/{id} 200 400 404 503',
      'delete /bookings/{id} 200 400 404 503',
      'get /bookings/{id}/ticket 200 400 404 503',
      'get /health 200 503',
    ]);
    for (const { content } of documented.flatMap(({ responses }) => Object.values(responses))) {
      expect(JSON.stringify(content)).toMatch(/"examples?"/);
    }
  });

  it('tells of a limit just where there is one', async () => {
    for (const { method, path, responses } of await operations()) {
      const asked = path.replace('{code}', 'SFO').replace('{id}', '1');
      const ask = { get: () => get(asked), delete: () => cancel('1'), post: () => book({}) }[method];
      if (!ask) throw new Error(`No way to ${method} is known here.`);
      const { headers } = await ask();
      expect({ path, isLimited: headers.has('ratelimit-policy') }).toEqual({ path, isLimited: '429' in responses });
    }
  });

  it('shows all ways in which a seat can be taken', async () => {
    const post = (await operations()).find(({ method }) => method === 'post');
    expect(JSON.stringify(post?.responses['409'])).toMatch(/SEAT_TAKEN.*LOCK_NOT_ACQUIRED.*OVERTAKEN/s);
  });

  it('is readable at /docs', async () => {
    const page = await fetch(`${client.origin}/docs`);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('swagger-ui');
  });
});

describe('the cache', () => {
  it('answers without the database once an airport has been read', async () => {
    const codes = ['LAX', 'ORD', 'ATL', 'DFW', 'MIA', 'SEA'];
    // A command that takes too long is a miss: on a machine that stalls the next airport may have to show it.
    await eventually(async () => {
      const code = codes.shift();
      if (code === undefined) throw new Error('None of the airports was answered from the cache.');
      const { body } = await get(`/airports/${code}`);
      // What has been loaded is stored behind the answer.
      await eventually(async () => {
        expect(await redis.ask((server) => server.exists(`flights:cache:{airport:${code}}`))).toBe(1);
      });
      const airport = prepared.database.updateTable('airports').where('code', '=', code);
      const { city } = body as { city: string };
      await airport.set({ city: 'Elsewhere' }).execute();
      try {
        await expect(get(`/airports/${code}`)).resolves.toMatchObject({ body: { city } });
      } finally {
        await airport.set({ city }).execute();
      }
    });
  });
});

describe('health', () => {
  it('is 200 with the database and Redis up', async () => {
    await eventually(async () => {
      await expect(get('/health')).resolves.toMatchObject({
        status: 200,
        body: { status: 'ok', details: { database: { status: 'up' }, redis: { status: 'up' } } },
      });
    });
  });
});

describe('with the database down', () => {
  let cutOff: INestApplication;
  beforeAll(async () => {
    const config = AppConfig.from({
      DATABASE_URL: 'postgres://app:s3cret@127.0.0.1:1/flights',
      REDIS_URL: redis.url,
    });
    cutOff = await createApp(config);
    await cutOff.listen(0, '127.0.0.1');
  });
  afterAll(() => cutOff.close());

  it('answers 503 and says when to come back, also in /health, and tells no address', async () => {
    const cutOffClient = new HttpClient(await cutOff.getUrl());
    for (const path of ['/airports/JFK', '/health']) {
      const refused = await cutOffClient.get(path);
      expect(refused.headers.get('retry-after')).toBe('1');
      expectProblem(refused, { status: 503, instance: path, detail: expect.any(String) });
      expect(JSON.stringify(refused.body)).not.toMatch(/s3cret|127\.0\.0\.1/);
    }
  });

  it('says good-bye to a client on a kept connection when it is told to stop', async () => {
    using agent = new KeptConnection(await cutOff.getUrl());
    await expect(agent.get('/airports/JFK')).resolves.toEqual({ status: 503, connection: 'keep-alive' });
    const closing = cutOff.close();
    await expect(agent.get('/airports/JFK')).resolves.toEqual({ status: 503, connection: 'close' });
    await closing;
  });
});

describe('a failure that Redstart answers', () => {
  /** Whatever it says, it is a problem like the others, and no name of a key, host or option is in it. */
  const expectOutside = (
    { type, body, status }: Answer,
    expected: { type?: string; status: number; instance: string },
  ) => {
    expect(type).toMatch(/^application\/problem\+json/);
    expect(status).toBe(expected.status);
    expect(body).toMatchObject({ type: 'about:blank', title: expect.any(String) as string, ...expected });
    expect(JSON.stringify(body)).not.toMatch(/flights:|seat:|127\.0\.0\.1|onLocked|WRONGTYPE/);
  };

  it('is a 409 for a seat that somebody else is booking right now, told from one that is sold', async () => {
    await using _theirs = await app.get(LockService).acquire(['seat', 12, '1A']);
    const refused = await client.book({ flightId: 12, seat: '1A', passenger });
    expectOutside(refused, { status: 409, instance: '/bookings' });
    expect(refused.body).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', detail: expect.any(String) as string });
  });

  it('is a bare 500 for what only we can repair', async () => {
    await redis.ask((server) => server.hset('flights:lock:{seat:13:1A}', 'not', 'a lock'));
    expectOutside(await book({ flightId: 13, seat: '1A', passenger }), { status: 500, instance: '/bookings' });
  });

  it('is a 503 within two seconds while Redis hangs; reads and cancelling go on', async () => {
    const { id } = (await book({ flightId: 24, seat: '1A', passenger })).body as { id: string };
    time[Symbol.dispose]();
    redis.pause();
    try {
      using waited = ownTime();
      const refused = await client.book({ flightId: 24, seat: '1B', passenger });
      expect(waited.ms).toBeLessThan(2_000);
      expectOutside(refused, { status: 503, instance: '/bookings' });
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      expect((await get('/flights/24')).status).toBe(200);
      expect((await cancel(id)).status).toBe(200);
      await expect(get('/flights/24/seats')).resolves.toMatchObject({ body: { taken: 0 } });
    } finally {
      redis.resume();
      time = giveTime(app);
    }
    await eventually(
      async () => {
        expect((await client.book({ flightId: 24, seat: '1B', passenger })).status).toBe(201);
      },
      { within: 30_000 },
    );
    await eventually(
      async () => {
        await expect(get(`/bookings/${id}/ticket`)).resolves.toMatchObject({ body: { status: 'void' } });
      },
      { within: 30_000 },
    );
  }, 120_000);

  it('is a 429 for too many searches, with the time to wait', async () => {
    let refused = await get('/airports?search=sfo');
    // More than the limit: on a machine that stalls some of them are counted by the process itself.
    for (let asked = 1; asked <= 300 && refused.status === 200; asked += 1) refused = await get('/airports?search=sfo');
    expectOutside(refused, {
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      status: 429,
      instance: '/airports',
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.body).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', detail: expect.any(String) as string });
  });
});
