import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@redstart/redis-testing';
import type { Redis } from 'ioredis';
import { importedLibraries, install } from './support/application.js';
import { entryPoints, libraries, packLibraries, readManifest } from './support/libraries.js';
import { run } from './support/run.js';
import { ServedApplication } from './support/served-application.js';
import { TemporaryFolder } from './support/temporary-folder.js';
import { fixtures } from './support/workspace.js';

const MANIFESTS = ['nest-12', 'nest-11-commonjs'];
/** However busy the machine is. */
const STARTED_WITHIN_MS = 60_000;

// Installed before the tests are declared: what could not be installed for want of a registry is declared as skipped.
const folder = await TemporaryFolder.create();
const applications = await prepare().catch(async (error: unknown) => {
  await folder.remove();
  throw error;
});
// Some ten thousand files on a busy machine.
afterAll(() => folder.remove(), 120_000);

async function prepare() {
  const tarballs = await packLibraries(folder.path);
  return Promise.all(
    MANIFESTS.map(async (manifest) => {
      const installation = await install(manifest, tarballs, folder.path);
      const versions = readManifest(join(fixtures, manifest)).dependencies ?? {};
      const { '@nestjs/core': nest, ioredis } = versions;
      return {
        ...installation,
        versions,
        title: `an application on Nest ${String(nest)} and ioredis ${String(ioredis)}`,
      };
    }),
  );
}

it('calls something of every library', () => {
  expect(importedLibraries()).toEqual(libraries.map(({ name }) => name).toSorted());
});

for (const { folder, title, versions, installed, compiled, unreachable } of applications) {
  const isReachable = unreachable === undefined;
  const suite = isReachable ? describe : describe.skip;
  const reason = isReachable ? '' : `, not installed: the registry can't be reached (${unreachable})`;

  suite(`${title}${reason}`, () => {
    it('installs all packages beside one copy of each peer', () => {
      expect(installed).toMatchObject({ code: 0, stderr: '' });
      for (const [name, version] of Object.entries(versions)) {
        expect(readManifest(join(folder, 'node_modules', name)).version).toBe(version);
      }
      const copies = libraries.flatMap(({ name, peerDependencies }) =>
        Object.keys({ ...peerDependencies, '@redstart/redis-core': '' }).map((peer) =>
          join(name, 'node_modules', peer),
        ),
      );
      expect(copies.filter((copy) => existsSync(join(folder, 'node_modules', copy)))).toEqual([]);
    });

    it('compiles with its own TypeScript, which checks the published declarations', () => {
      expect(compiled).toEqual({ code: 0, stdout: '', stderr: '' });
    });

    it('loads every entry point of every library, as an ES module and by require, without a word', async () => {
      const entries = libraries.flatMap(({ name, exports }) => entryPoints(exports).map((entry) => join(name, entry)));
      expect(entries).toEqual(expect.arrayContaining(['@redstart/redis-core', '@redstart/redis-streams/transport']));
      const load = `
        const { createRequire } = await import('node:module');
        const require = createRequire(process.cwd() + '/');
        for (const entry of ${JSON.stringify(entries)}) {
          const [imported, required] = [await import(entry), require(entry)];
          if (Object.keys(imported).length === 0 || imported !== required) throw new Error(entry);
        }`;
      const args = ['--input-type=module', '--eval', load];
      const options = { cwd: folder, env: { PATH: process.env['PATH'] }, within: STARTED_WITHIN_MS };
      expect(await run(process.execPath, args, options)).toEqual({ code: 0, stdout: '', stderr: '' });
    });

    it.each(libraries.flatMap(({ bin = {} }) => Object.keys(bin)))('has the command %s', async (command) => {
      const options = { cwd: folder, env: { PATH: process.env['PATH'] }, within: STARTED_WITHIN_MS };
      const { code, stdout, stderr } = await run(join(folder, 'node_modules/.bin', command), ['--help'], options);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain(`Usage: ${command}`);
    });

    describe.each(['express', 'fastify'])('served by %s', (adapter) => {
      const started: ServedApplication[] = [];
      let app: ServedApplication;
      let redis: Redis;
      beforeAll(async () => {
        if (compiled?.code !== 0) throw new Error('It was not installed or not compiled: there is nothing to serve.');
        app = await ServedApplication.start(folder, adapter);
        redis = app.redis;
        started.push(app);
      });

      it('caches what a method returns', async () => {
        const first = await app.request('GET', 'airports/JFK');
        const second = await app.request('GET', 'airports/JFK');
        expect([first, second]).toMatchObject(Array(2).fill({ status: 200, body: { code: 'JFK', load: 1 } }));
        expect(await redis.exists('flights:cache:{airport:JFK}')).toBe(1);
      });

      it('caches the responses of a route until they are evicted', async () => {
        const seen = async () => {
          const { status, body, headers } = await app.request('GET', 'timetable');
          return { status, body, cache: headers.get('cache-status'), type: headers.get('content-type') };
        };
        const type = 'application/json; charset=utf-8';
        const loaded = { status: 200, body: { load: 1 }, type };
        expect(await seen()).toEqual({ ...loaded, cache: 'redstart; fwd=uri-miss' });
        expect(await seen()).toEqual({ ...loaded, cache: 'redstart; hit' });
        expect(await app.request('POST', 'timetable')).toMatchObject({ status: 201, body: { changed: true } });
        expect(await seen()).toMatchObject({ body: { load: 2 }, cache: 'redstart; fwd=uri-miss' });
      });

      it('holds a lock during a method, with a rising fencing token', async () => {
        const first = await app.request('POST', 'seats/1A');
        const second = await app.request('POST', 'seats/1A');
        expect([first, second]).toMatchObject(Array(2).fill({ status: 201, body: { lockedMeanwhile: true } }));
        const tokens = [first, second].map(({ body }) => (body as { fencingToken: number }).fencingToken);
        expect(tokens[1]).toBeGreaterThan(tokens[0] ?? Infinity);
        expect(await redis.get('flights:lock:{seat:1A}:fence')).toBe(String(tokens[1]));
        expect(await redis.exists('flights:lock:{seat:1A}')).toBe(0);
      });

      it('limits a route', async () => {
        expect(await app.request('GET', 'search')).toMatchObject({ status: 200, body: ['flight 1'] });
        const denied = await app.request('GET', 'search');
        expect(denied).toMatchObject({ status: 429, body: { code: 'RATE_LIMIT_EXCEEDED', instance: '/search' } });
        expect(denied.headers.get('content-type')).toMatch(/^application\/problem\+json/);
        expect(denied.headers.get('ratelimit')).toMatch(/^"search";r=0;t=\d+$/);
      });

      it('limits the calls of a method', async () => {
        expect(await app.request('POST', 'mails/ada')).toMatchObject({ status: 201, body: { sentTo: 'ada' } });
        expect(await app.request('POST', 'mails/ada')).toMatchObject({ status: 429 });
        expect(await app.request('POST', 'mails/bob')).toMatchObject({ status: 201 });
        expect(await redis.keys('flights:ratelimit:{mail:*')).toHaveLength(2);
      });

      it('delivers what it publishes to its consumer, and acknowledges it', async () => {
        const { status, body } = await app.request('POST', 'bookings/42');
        expect(status).toBe(201);
        await eventually(
          async () => {
            expect(await app.request('GET', 'tickets/42')).toMatchObject({ status: 200, body });
            const [pending] = await redis.xpending('flights:stream:{bookings}', 'tickets');
            expect(pending).toBe(0);
          },
          { within: 30_000 },
        );
      });

      it('tells terminus that Redis answers', async () => {
        const up = { status: 'ok', details: { redis: { status: 'up', breaker: 'closed' } } };
        expect(await app.request('GET', 'health')).toMatchObject({ status: 200, body: up });
      });

      it('has no warning to print, and ends when it is told to', async () => {
        expect(await app.end()).toEqual({ code: 0, stdout: `${app.announcement}\n`, stderr: '' });
        await expect(redis.ping()).rejects.toThrow();
      });

      afterAll(() => Promise.all(started.map((one) => one.end())));
    });
  });
}
