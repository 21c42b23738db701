import type { INestApplication } from '@nestjs/common';
import { eventually, RedisServer } from '@redstart/redis-testing';
import { sql } from 'kysely';
import { createApp } from '../src/app.js';
import { AppConfig } from '../src/config/app-config.js';
import { TicketsService } from '../src/tickets/tickets.service.js';
import { type PreparedDatabase, prepareDatabase } from './support/prepared-database.js';

let prepared: PreparedDatabase;
let redis: RedisServer;
let app: INestApplication;
let origin: string;

beforeAll(async () => {
  [prepared, redis] = await Promise.all([prepareDatabase(), RedisServer.start()]);
  app = await createApp(AppConfig.from({ DATABASE_URL: prepared.url, REDIS_URL: redis.url }));
  await app.listen(0, '127.0.0.1');
  origin = await app.getUrl();
});
afterAll(async () => {
  await app.close();
  await prepared[Symbol.asyncDispose]();
  await redis.stop();
});

interface Answer {
  status: number;
  type: string | null;
  body: unknown;
}
async function answer(response: Response): Promise<Answer> {
  return { status: response.status, type: response.headers.get('content-type'), body: await response.json() };
}
const get = async (path: string) => answer(await fetch(`${origin}${path}`));
const post = async (path: string, body: string, type = 'application/json') =>
  answer(await fetch(`${origin}${path}`, { method: 'POST', body, headers: { 'content-type': type } }));
const book = (body: object) => post('/bookings', JSON.stringify(body));
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
    ['/nowhere', 'Cannot GET /nowhere'],
  ])('answers 404 for %s', async (instance, detail) => {
    expectProblem(await get(instance), { status: 404, instance, detail });
  });

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

  it('answers 409 for a seat that is taken', async () => {
    await book({ flightId: 10, seat: '1A', passenger });
    const refused = await book({ flightId: 10, seat: '1a', passenger });
    expectProblem(refused, { status: 409, instance: '/bookings', detail: 'Seat 1A of flight 10 is already booked.' });
  });

  it('sells a seat to one of two who ask at the same moment', async () => {
    const answers = await Promise.all([1, 2].map(() => book({ flightId: 11, seat: '1A', passenger })));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409]);
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

  it('answers a problem for a body that is no JSON, is no body, or is too large', async () => {
    const problem = { instance: '/bookings', detail: expect.any(String) as unknown };
    expectProblem(await post('/bookings', '{"flightId":'), { status: 400, ...problem });
    expectProblem(await post('/bookings', 'flightId=1', 'application/x-www-form-urlencoded'), {
      status: 400,
      ...problem,
    });
    expectProblem(await post('/bookings', JSON.stringify({ seat: 'x'.repeat(20_000) })), { status: 413, ...problem });
  });
});

describe('the documentation', () => {
  it('describes every endpoint with its problems and an example of each answer', async () => {
    const { body } = await get('/docs-json');
    const { paths } = body as {
      paths: Record<string, Record<string, { responses: Record<string, { content?: object }> }>>;
    };
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { responses }]) => `${method} ${path} ${Object.keys(responses).join(' ')}`),
    );
    expect(documented).toEqual([
      'get /airports 200 400 429 503',
      'get /airports/{code} 200 400 404 429 503',
      'get /airports/{code}/routes 200 400 404 429 503',
      'get /flights 200 400 429 503',
      'get /flights/{id} 200 400 404 429 503',
      'post /bookings 201 400 404 409 429 503',
      'get /bookings/{id} 200 400 404 429 503',
      'get /health 200 503',
    ]);
    const responses = Object.values(paths).flatMap((methods) =>
      Object.values(methods).flatMap((method) => Object.values(method.responses)),
    );
    for (const { content } of responses) expect(JSON.stringify(content)).toContain('"example"');
  });

  it('is readable at /docs', async () => {
    const page = await fetch(`${origin}/docs`);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('swagger-ui');
  });
});

describe('the cache', () => {
  it('answers without the database once an airport has been read', async () => {
    await get('/airports/LAX');
    const airport = prepared.database.updateTable('airports').where('code', '=', 'LAX');
    await airport.set({ city: 'Elsewhere' }).execute();
    try {
      await expect(get('/airports/LAX')).resolves.toMatchObject({ body: { city: 'Los Angeles' } });
    } finally {
      await airport.set({ city: 'Los Angeles' }).execute();
    }
  });
});

describe('health', () => {
  it('is 200 with the database and Redis up', async () => {
    await expect(get('/health')).resolves.toMatchObject({
      status: 200,
      body: { status: 'ok', details: { database: { status: 'up' }, redis: { status: 'up' } } },
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
    for (const path of ['/airports/JFK', '/health']) {
      const response = await fetch(`${await cutOff.getUrl()}${path}`);
      expect(response.headers.get('retry-after')).toBe('1');
      const refused = await answer(response);
      expectProblem(refused, { status: 503, instance: path, detail: expect.any(String) });
      expect(JSON.stringify(refused.body)).not.toMatch(/s3cret|127\.0\.0\.1/);
    }
  });
});
