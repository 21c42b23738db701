import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, RedisServer } from '@redstart/redis-testing';
import { onlyBlock, workspace } from './support/markdown.js';
import type { Running } from './support/running.js';
import { ScratchApp } from './support/scratch-app.js';

const heading = 'In your own application';
const main = onlyBlock('README.md', heading, 'ts');
const install = onlyBlock('README.md', heading, 'sh');
const anyPort = ['--import', join(import.meta.dirname, 'support/any-port.mjs')];

/** Takes one piece out of the quick start, or changes it; fails when it is not there any more. */
function change(from: string, to: string): string {
  const changed = main.replace(from, to);
  if (changed === main) throw new Error(`The quick start has no longer ${from}`);
  return changed;
}

describe('the quick start of the README', () => {
  let redis: RedisServer;
  let app: ScratchApp;
  beforeAll(async () => {
    redis = await RedisServer.start();
    app = await ScratchApp.create({ 'main.ts': main });
    expect(await app.compile()).toEqual([]);
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
    await redis.stop();
  });

  /** A process that has answered already, on an empty Redis: the first calls take longer than it waits for Redis, on a busy machine, and it would go by itself. */
  const start = async (): Promise<{ running: Running; greet: (name: string) => Promise<Response> }> => {
    const running = app.run({ REDIS_URL: redis.url }, anyPort);
    const [, port = ''] = await running.printed(/listening on port (\d+)/);
    const greet = (name: string) => fetch(`http://127.0.0.1:${port}/hello/${name}`);
    await redis.flush();
    await eventually(
      async () => {
        await (await greet('warm')).text();
        // What is cached (the keys of values end with a brace), and what is counted.
        for (const pattern of ['hello:cache:*}', 'hello:ratelimit:*']) {
          expect(await redis.ask((client) => client.keys(pattern))).toHaveLength(1);
        }
      },
      { within: 30_000, every: 3_000 },
    ).catch(async (error: unknown) => {
      await running[Symbol.asyncDispose]();
      throw error;
    });
    await redis.flush();
    return { running, greet };
  };

  it('installs every package that it imports, beside those of Nest, and only packages that exist', () => {
    const installed = install.trim().split(/\s+/).slice(2);
    expect(install).toMatch(/^npm install /);
    const ours = readdirSync(join(workspace, 'libs')).map((name) => `@redstart/${name}`);
    expect([...ours, 'ioredis']).toEqual(expect.arrayContaining(installed));
    const imported = [...main.matchAll(/from '((?:@[^/']+\/)?[^/']+)[^']*'/g)].map(([, name = '']) => name);
    expect([...installed, '@nestjs/common', '@nestjs/core']).toEqual(expect.arrayContaining(imported));
  });

  it('caches the greeting by name, in Redis', async () => {
    const { running, greet } = await start();
    await using _running = running;

    const first = await (await greet('Amelia')).text();
    expect(first).toMatch(/^Hello, Amelia! \(composed at \d{4}-\d\d-\d\dT[\d:.]+Z\)$/);
    expect(await (await greet('Amelia')).text()).toBe(first);
    expect(await (await greet('Bessie')).text()).toMatch(/^Hello, Bessie! /);
    // What has been composed is stored behind the answer.
    await eventually(async () => {
      expect((await redis.ask((client) => client.keys('hello:cache:*}'))).toSorted()).toEqual([
        'hello:cache:{greeting:Amelia}',
        'hello:cache:{greeting:Bessie}',
      ]);
    });
    expect(await redis.ask((client) => client.pttl('hello:cache:{greeting:Amelia}'))).toBeGreaterThan(0);
  });

  it('allows five calls within ten seconds, and says when the next may come', async () => {
    const { running, greet } = await start();
    await using _running = running;

    // On a machine that stalls the process itself counts what Redis is too slow for: then once more, when nobody remembers a call.
    const answers = await eventually(
      async () => {
        await redis.flush();
        const eight = await Promise.all(Array.from({ length: 8 }, () => greet('Amelia')));
        expect(eight.map(({ status }) => status).toSorted()).toEqual([200, 200, 200, 200, 200, 429, 429, 429]);
        return eight;
      },
      { within: 90_000, every: 21_000 },
    );

    const denied = answers.find(({ status }) => status === 429);
    expect(Number(denied?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(denied?.headers.get('retry-after'))).toBeLessThanOrEqual(20);
    expect(denied?.headers.get('ratelimit-policy')).toBe('"hello";q=5;w=10');
    expect(denied?.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  });

  it('ends when it is told to', async () => {
    const { running } = await start();
    running.child.kill('SIGTERM');
    expect(await running.ended).toBe('SIGTERM');
  });
});

describe('a module of the quick start that was forgotten', () => {
  it.each([
    ['RedisCacheModule', 'RedisCacheModule.forRoot({}),'],
    ['RedisRateLimitModule', /RedisRateLimitModule\.forRoot\(.*\),/.exec(main)?.[0] ?? 'RedisRateLimitModule'],
    ['RedisModule', /RedisModule\.forRoot\(.*\),/.exec(main)?.[0] ?? 'RedisModule'],
  ])('is an error at boot that names it: %s', async (name, registration) => {
    await using redis = await RedisServer.start();
    await using app = await ScratchApp.create({ 'main.ts': change(registration, '') });
    expect(await app.compile()).toEqual([]);
    await using running = app.run({ REDIS_URL: redis.url }, anyPort);
    expect(await running.ended).toBe(1);
    expect(running.output).toContain(`import ${name}.forRoot`);
    expect(running.output).not.toContain('listening on port');
  });
});

describe('a mistake in the quick start', () => {
  it.each([
    ['a duration that is none', "ttl: '1m'", "ttl: '1 minute'", '\'"1 minute"\' is not assignable'],
    ['a policy without a window', "limit: 5, window: '10s'", 'limit: 5', "'window' is missing"],
    ['a key of other arguments', '(name: string) =>', '(name: number) =>', 'does not start with the parameters'],
    ['an import that does not exist', 'by, createPolicies', 'by, createPolicy', 'createPolicy'],
    ['a module without its namespace', "namespace: 'hello', ", '', "'namespace' is missing"],
  ])('is found by this test: %s', async (_, from, to, complaint) => {
    await using app = await ScratchApp.create({ 'main.ts': change(from, to) });
    expect((await app.compile()).join('\n')).toContain(complaint);
  });
});
