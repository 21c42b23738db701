import { Global, Module } from '@nestjs/common';
import { AppConfig } from '../config/app-config.js';
import { Database } from './database.js';

@Global()
@Module({
  providers: [
    {
      provide: Database,
      inject: [AppConfig],
      useFactory: (config: AppConfig) =>
        new Database({
          url: config.databaseUrl,
          poolSize: config.databasePoolSize,
          limitMs: config.databaseTimeoutSeconds * 1_000,
        }),
    },
  ],
  exports: [Database],
})
export class DatabaseModule {}
