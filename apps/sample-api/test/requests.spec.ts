import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { INestApplication } from '@nestjs/common';
import { RedisServer } from '@redstart/redis-testing';
import { createApp } from '../src/app.js';
import { AppConfig } from '../src/config/app-config.js';
import { eventually } from './support/eventually.js';
import { giveTime } from './support/give-time.js';
import { fillIn, parseHttpFile, type WrittenRequest } from './support/http-file.js';
import { type PreparedDatabase, prepareDatabase } from './support/prepared-database.js';

const file = parseHttpFile(readFileSync(join(import.meta.dirname, '../requests.http'), 'utf8'));
const variables = new Map(file.variables);
const answers = new Map<string, unknown>();

let prepared: PreparedDatabase;
let redis: RedisServer;
let app: INestApplication;
beforeAll(async () => {
  [prepared, redis] = await Promise.all([prepareDatabase(), RedisServer.start()]);
  app = await createApp(AppConfig.from({ DATABASE_URL: prepared.url, REDIS_URL: redis.url }));
  giveTime(app);
  await app.listen(0, '127.0.0.1');
  variables.set('host', await app.getUrl());
});
afterAll(async () => {
  await app.close();
  await prepared[Symbol.asyncDispose]();
  await redis.stop();
});

async function send({ name, method, url, headers, body }: WrittenRequest): Promise<number> {
  const response = await fetch(fillIn(url, variables, answers), {
    method,
    headers,
    ...(body !== undefined && { body: fillIn(body, variables, answers) }),
  });
  const text = await response.text();
  if (name !== undefined) answers.set(name, JSON.parse(text));
  return response.status;
}

describe('requests.http', () => {
  it('is addressed to where npm start serves the API', () => {
    expect(file.variables.get('host')).toBe('http://localhost:3000');
  });

  it.each(file.requests.map((request) => [request.status, request.title, request] as const))(
    'gets a %i: %s',
    async (status, _title, request) => {
      for (let sent = 1; sent < request.times; sent += 1) await send(request);
      const check = async () => {
        expect(await send(request)).toBe(status);
      };
      // A ticket follows its booking in a moment, and asking again changes nothing.
      await (request.method === 'GET' ? eventually(check) : check());
    },
  );

  it('has a good request and a bad one for every endpoint that can refuse', async () => {
    const { paths } = (await (await fetch(`${await app.getUrl()}/docs-json`)).json()) as {
      paths: Record<string, Record<string, { responses: Record<string, unknown> }>>;
    };
    const missing = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { responses }]) => {
        const pattern = new RegExp(`^\\{\\{host\\}\\}${path.replace(/\{\w+\}/g, '[^/?]+')}(\\?.*)?$`);
        const written = file.requests.filter(
          (request) => request.method === method.toUpperCase() && pattern.test(request.url),
        );
        const kinds = [
          { kind: 'good', has: written.some(({ status }) => status < 300) },
          { kind: 'bad', has: !('400' in responses) || written.some(({ status }) => status >= 400) },
        ];
        return kinds.filter(({ has }) => !has).map(({ kind }) => `a ${kind} request: ${method} ${path}`);
      }),
    );
    expect(missing).toEqual([]);
  });
});
