import type { INestApplication, LoggerService, ModuleMetadata } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { RedisModule } from '@redstart/redis-core';
import { CacheService, RedisCacheModule, type CacheModuleOptions } from '../src/index.js';
import type { Server } from 'node:http';
import type { Connection } from './app.js';

export const frameworks = ['Express', 'Fastify'] as const;
export type Framework = (typeof frameworks)[number];

const silent: LoggerService = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** An application that listens. */
export interface HttpApp extends AsyncDisposable {
  readonly app: INestApplication;
  readonly cache: CacheService;
  get(path: string, headers?: Record<string, string>, method?: string): Promise<Answer>;
}

/** What a client gets to see. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  /** What this cache says that it has done, without its name. */
  readonly cache: string | undefined;
}

export async function startHttp(
  framework: Framework,
  connection: Connection,
  { imports = [], ...metadata }: ModuleMetadata,
  options: CacheModuleOptions = {},
  configure: (app: INestApplication) => void = () => undefined,
): Promise<HttpApp> {
  const module = await Test.createTestingModule({
    imports: [
      RedisModule.forRoot({ namespace: 'shop', ...connection }),
      RedisCacheModule.forRoot({ budget: '10s', lease: '60s', jitter: 0, near: false, ...options }),
      ...imports,
    ],
    ...metadata,
  })
    .setLogger(silent)
    .compile();
  const app: INestApplication = module.createNestApplication(
    framework === 'Express' ? new ExpressAdapter() : new FastifyAdapter(),
  );
  configure(app);
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  return {
    app,
    cache: app.get(CacheService),
    get: async (path, headers = {}, method = 'GET') => {
      const response = await fetch(`${url}${path}`, { headers, method, redirect: 'manual' });
      return {
        status: response.status,
        text: await response.text(),
        headers: response.headers,
        cache: response.headers.get('cache-status')?.replace(/^redstart; /, ''),
      };
    },
    [Symbol.asyncDispose]: async () => {
      // The client keeps its connections for a while, and the server would wait for that.
      const server = app.getHttpServer() as Server;
      server.closeAllConnections();
      await app.close();
    },
  };
}
