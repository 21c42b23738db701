import 'reflect-metadata';
import { Module, type NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from '@redstart/redis-core';
import { StreamAdmin } from '../admin/stream-admin.js';
import { RedisStreamsModule } from '../streams.module.js';

/** Where Redis is, as the command line says it. */
export interface Place {
  readonly url: string;
  readonly cluster: boolean;
  readonly namespace: string;
}

/** Errors are told by the command, in its own words. */
const quietly: Readonly<NestApplicationOptions> = { logger: false, abortOnError: false };

@Module({})
class CommandLineModule {}

/** A StreamAdmin, and the application around it: without a reader, a log or a server. */
export interface AdminApp extends AsyncDisposable {
  readonly admin: StreamAdmin;
}

/** @throws RedisUnavailableError when Redis does not answer within 5 s · OptionsError for a URL or namespace that can't be used */
export async function openAdmin({ url, cluster, namespace }: Place): Promise<AdminApp> {
  const target = cluster ? { cluster: [url] } : { url };
  const app = await NestFactory.createApplicationContext(
    {
      module: CommandLineModule,
      imports: [
        RedisModule.forRoot({ namespace, ...target, startupTimeout: '5s', shutdownTimeout: 200, httpErrors: false }),
        RedisStreamsModule.forRoot({ service: 'redstart-streams', consumers: false }),
      ],
    },
    quietly,
  );
  return { admin: app.get(StreamAdmin), [Symbol.asyncDispose]: () => app.close() };
}
