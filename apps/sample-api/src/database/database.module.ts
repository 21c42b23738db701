import { Global, Module } from '@nestjs/common';
import { AppConfig } from '../config/app-config.js';
import { Database } from './database.js';

/** A request has better things to do than to wait for a database that hangs. */
const QUERY_TIMEOUT_MS = 5_000;

@Global()
@Module({
  providers: [
    {
      provide: Database,
      inject: [AppConfig],
      useFactory: (config: AppConfig) =>
        new Database({ url: config.databaseUrl, poolSize: config.databasePoolSize, queryTimeoutMs: QUERY_TIMEOUT_MS }),
    },
  ],
  exports: [Database],
})
export class DatabaseModule {}
