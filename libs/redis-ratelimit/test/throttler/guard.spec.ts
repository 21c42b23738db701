import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { eventually, FaultProxy, RedisServer } from '@redstart/redis-testing';
import { Programs } from '@redstart/redis-testing/programs';
import type { ThrottlerAppOptions } from '../processes/throttler-app.js';
import {
  compareWithTheirs,
  startThrottlerApp,
  type Ask,
  type Numbers,
  type ThrottlerApp,
} from '../processes/throttler-client.js';

const minute = 60_000;
const perMinute = (limit: number, block = minute): Numbers => ({ limit, ttl: minute, block });
const window = { limit: 4, ttl: 250 };

let server: RedisServer;
let programs: Programs;
beforeAll(async () => {
  [server, programs] = await Promise.all([
    RedisServer.start(),
    Programs.compile(join(import.meta.dirname, '..', '..'), 'test/processes'),
  ]);
}, 60_000);
afterAll(async () => {
  await Promise.all([server.stop(), programs[Symbol.asyncDispose]()]);
});

/** What holds with throttler's own storage as well: ours can take its place. */
describe.each<Pick<ThrottlerAppOptions, 'adapter' | 'storage'>>([
  { adapter: 'express', storage: 'redis' },
  { adapter: 'fastify', storage: 'redis' },
  { adapter: 'express', storage: 'memory' },
])('the guard of @nestjs/throttler on $adapter, storage: $storage', (options) => {
  let app: ThrottlerApp;
  beforeAll(async () => {
    await server.flush();
    app = await startThrottlerApp(programs, { url: server.url, budget: '10s', ...options });
  }, 120_000);
  afterAll(() => app[Symbol.asyncDispose]());

  it('answers 429 above the limit, with the fields of its own', async () => {
    const ann: Ask = { client: 'ann', default: perMinute(2, 90_000) };
    const first = await app.ask(ann);
    const fields = (response: Response) =>
      ['limit', 'remaining', 'reset'].map((name) => response.headers.get(`x-ratelimit-${name}`));
    expect([first.status, ...fields(first)]).toEqual([200, '2', '1', '60']);
    const second = await app.ask(ann);
    expect([second.status, fields(second)[1]]).toEqual([200, '0']);
    const denied = await app.ask(ann);
    expect([denied.status, denied.headers.get('retry-after'), ...fields(denied)]).toEqual([
      429,
      '90',
      null,
      null,
      null,
    ]);
    expect((await app.ask({ ...ann, client: 'bob' })).status).toBe(200);
  });

  it('blocks for the ttl where nothing else is said, per route and with the limits of a route', async () => {
    const ann: Ask = { client: 'plain', plain: true };
    expect(await app.statuses(3, ann)).toEqual([200, 200, 429]);
    const denied = await app.ask(ann);
    expect(Number(denied.headers.get('retry-after-plain'))).toBeGreaterThan(30);
    expect(await app.statuses(2, { ...ann, path: 'search' })).toEqual([200, 429]);
    expect(await app.statuses(4, { ...ann, path: 'health' })).toEqual([200, 200, 200, 200]);
  });

  it('counts each of several throttlers by itself', async () => {
    const both: Ask = { client: 'both', default: perMinute(5), burst: perMinute(2) };
    const first = await app.ask(both);
    expect(first.headers.get('x-ratelimit-remaining')).toBe('4');
    expect(first.headers.get('x-ratelimit-remaining-burst')).toBe('1');
    expect(await app.statuses(2, both)).toEqual([200, 429]);
    const { burst: _left, ...rest } = both;
    expect((await app.ask(rest)).headers.get('x-ratelimit-remaining')).toMatch(/^[12]$/);
  });

  it('counts nothing where skipIf says so, and sends no fields where setHeaders is false', async () => {
    expect(await app.statuses(4, { client: 'free' })).toEqual([200, 200, 200, 200]);
    const quiet: Ask = { client: 'quiet', quiet: perMinute(1) };
    const first = await app.ask(quiet);
    expect([first.status, first.headers.get('x-ratelimit-limit-quiet')]).toEqual([200, null]);
    const denied = await app.ask(quiet);
    expect([denied.status, denied.headers.get('retry-after-quiet')]).toEqual([429, null]);
  });

  it('denies with a blockDuration of 0, and with a limit of 0', async () => {
    expect(await app.statuses(4, { client: 'zero', default: perMinute(2, 0) })).toEqual([200, 200, 429, 429]);
    expect(await app.statuses(2, { client: 'none', default: perMinute(0) })).toEqual([429, 429]);
    expect(await app.statuses(2, { client: 'none at all', default: perMinute(0, 0) })).toEqual([429, 429]);
  });

  it.each([
    { block: 250, says: 'blocked for a window' },
    { block: 500, says: 'blocked for longer' },
    { block: 0, says: 'not blocked' },
  ])('serves a client that asks all the time the limit of every window: $says', async ({ block }) => {
    const client: Ask = { client: `polling ${block}`, default: { ...window, block } };
    const began = performance.now();
    const served: { sentAt: number; answeredAt: number }[] = [];
    let blockedAt = -Infinity;
    let denied = 0;
    // On a machine that stalls a few windows may not be asked for all that they have.
    while ((served.length < 3 * window.limit || denied === 0) && performance.now() - began < 30_000) {
      const sentAt = performance.now();
      const { status } = await app.ask(client);
      const answeredAt = performance.now();
      // A timer of Node may be a millisecond early.
      if (status === 200) {
        expect(answeredAt - blockedAt).toBeGreaterThan(block - 2);
        served.push({ sentAt, answeredAt });
        blockedAt = -Infinity;
      } else {
        denied++;
        // The first denial begins a block, some time after it was asked for.
        if (blockedAt === -Infinity) blockedAt = sentAt;
      }
      await sleep(10);
    }
    expect(served.length).toBeGreaterThanOrEqual(3 * window.limit);
    expect(denied).toBeGreaterThan(0);
    for (const [index, { sentAt }] of served.entries()) {
      expect((served[index + window.limit]?.answeredAt ?? Infinity) - sentAt).toBeGreaterThan(window.ttl - 2);
    }
  });
});

describe("throttler's own storage", () => {
  it('answers each hit as the local throttler does, which answers as the script does', async () => {
    const { runs, denials } = await compareWithTheirs(programs);
    expect(runs).toBe(1_000);
    expect(denials).toBeGreaterThan(0);
  }, 120_000);
});

describe('the guard of @nestjs/throttler with Redis behind', () => {
  it('admits exactly the limit of 200 parallel requests to two applications', async () => {
    const start = (adapter: ThrottlerAppOptions['adapter']) =>
      startThrottlerApp(programs, { url: server.url, budget: '10s', adapter, storage: 'redis' });
    await using express = await start('express');
    await using fastify = await start('fastify');
    const crowd: Ask = { client: 'crowd', default: perMinute(70) };
    await Promise.all([express.ask({ client: 'warm' }), fastify.ask({ client: 'warm' })]);
    const responses = await Promise.all(
      Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? express : fastify).ask(crowd)),
    );
    const statuses = responses.map(({ status }) => status);
    expect([200, 429].map((status) => statuses.filter((other) => other === status).length)).toEqual([70, 130]);
  }, 120_000);

  it('goes on after SCRIPT FLUSH, and answers while Redis is away as onError says', async () => {
    await using proxy = await FaultProxy.start(server);
    const start = (onError: 'local' | 'closed') =>
      startThrottlerApp(programs, { url: proxy.url, budget: '2s', adapter: 'express', storage: 'redis', onError });
    await using local = await start('local');
    await using closed = await start('closed');
    const ann: Ask = { client: 'outage', default: perMinute(3) };
    expect(await local.statuses(1, ann)).toEqual([200]);
    await server.client().script('FLUSH');
    expect((await closed.ask(ann)).headers.get('x-ratelimit-remaining')).toBe('1');

    using silence = proxy.blackhole();
    const began = performance.now();
    const responses = await Promise.all([1, 2, 3, 4].map(() => local.ask(ann)));
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(responses.map(({ status }) => status).toSorted()).toEqual([200, 200, 200, 429]);
    const refused = await closed.ask(ann);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(silence.injected).toBeGreaterThan(0);
    silence.stop();
    await eventually(async () => (await closed.ask({ ...ann, client: 'later' })).status === 200);
    // A proxy that stops in the middle of their goodbyes would leave half-closed sockets behind, which Node can't clean up when it exits.
    await Promise.all([local[Symbol.asyncDispose](), closed[Symbol.asyncDispose]()]);
    await eventually(() => proxy.connections === 0);
  }, 120_000);
});
