import { RedisServer } from '@redstart/redis-testing';
import { databaseFolder } from '../test/support/database-folder.js';
import { HttpClient } from '../test/support/http-client.js';
import { BuiltProcess, occupyPort, serveEmbedded, startApi } from './support/processes.js';

let folder: Awaited<ReturnType<typeof databaseFolder>>;
let redis: RedisServer;
let REDIS_URL: string;
/** One for all; the first test finds it empty. */
let database: Awaited<ReturnType<typeof serveEmbedded>>;

beforeAll(async () => {
  [folder, redis] = await Promise.all([databaseFolder('empty'), RedisServer.start()]);
  REDIS_URL = redis.url;
  database = await serveEmbedded(folder.path);
});
afterAll(async () => {
  await database.served[Symbol.asyncDispose]();
  await Promise.all([redis.stop(), folder[Symbol.asyncDispose]()]);
});

describe('two processes of the API on one database', () => {
  it('load the data once, share the bookings, and end on SIGTERM', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => startApi({ DATABASE_URL: database.url, REDIS_URL })));
    if (!one || !two) throw new Error('Two processes were started.');
    await using _one = one.api;
    await using _two = two.api;
    const book = (address: string) =>
      new HttpClient(address).bookPatiently({ flightId: 1, seat: '12A', passenger: { name: 'Amelia Earhart' } });

    const answers = await Promise.all([book(one.address), book(two.address)]);

    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409]);
    const { id } = answers.find(({ status }) => status === 201)?.body as { id: string };
    for (const { address } of [one, two]) {
      expect((await fetch(`${address}/bookings/${id}`)).status).toBe(200);
    }
    const ends = await Promise.all(
      [one, two].map(({ api }) => {
        api.child.kill('SIGTERM');
        return api.ended;
      }),
    );
    const loaded = ends.flatMap(({ stdout }) => stdout.match(/Loading flights: 20,000 of 20,000/g) ?? []);
    expect(loaded).toHaveLength(1);
    expect(ends).toMatchObject([
      { signal: 'SIGTERM', stderr: '' },
      { signal: 'SIGTERM', stderr: '' },
    ]);
  });
});

describe('a start that can not succeed', () => {
  const failure = async (environment: NodeJS.ProcessEnv) => {
    await using api = new BuiltProcess('main.js', [], environment);
    const { code, stderr } = await api.ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^[^\n]+\n$/);
    expect(stderr).not.toContain('s3cret');
    return stderr;
  };

  it('names every wrong variable', async () => {
    const line = await failure({ PORT: 'x', DATABASE_URL: 'mysql://app:s3cret@db/flights' });
    expect(line).toContain(
      'PORT must be an integer from 0 to 65535; DATABASE_URL must be a postgres:// URL; REDIS_URL is missing',
    );
  });

  it('says that the database is out of reach, and where it was looked for', async () => {
    const line = await failure({ DATABASE_URL: 'postgres://app:s3cret@127.0.0.1:1/flights', REDIS_URL });
    expect(line).toMatch(/^The database at 127\.0\.0\.1:1\/flights \(DATABASE_URL\) can't be used: .*ECONNREFUSED/);
  });

  it('says that Redis is out of reach, and where it was looked for', async () => {
    const line = await failure({ DATABASE_URL: database.url, REDIS_URL: 'redis://:s3cret@127.0.0.1:1' });
    expect(line).toMatch(
      /^Redis at 127\.0\.0\.1:1 could not be reached within 5000 ms\. .*ECONNREFUSED.* \(REDIS_URL\)$/m,
    );
  });

  it('says that Redis refuses the password', async () => {
    await using guarded = await RedisServer.start({ password: 'right' });
    const line = await failure({ DATABASE_URL: database.url, REDIS_URL: `redis://:s3cret@127.0.0.1:${guarded.port}` });
    expect(line).toMatch(/refuses the connection: WRONGPASS/);
  });

  it('says that the port is in use', async () => {
    const busy = await occupyPort();
    try {
      const line = await failure({ PORT: String(busy.port), DATABASE_URL: database.url, REDIS_URL });
      expect(line).toBe(
        `Port ${busy.port} is already in use. Stop the other program, or choose another port with PORT.\n`,
      );
    } finally {
      busy.release();
    }
  });
});
