import { Global, Module } from '@nestjs/common';
import { AppConfig } from '../config/app-config.js';
import { Database } from './database.js';

@Global()
@Module({
  providers: [
    {
      provide: Database,
      inject: [AppConfig],
      useFactory: (config: AppConfig) => new Database({ url: config.databaseUrl, poolSize: config.databasePoolSize }),
    },
  ],
  exports: [Database],
})
export class DatabaseModule {}
