import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { AirportsModule } from './airports/airports.module.js';
import { AvailabilityModule } from './availability/availability.module.js';
import { BookingsModule } from './bookings/bookings.module.js';
import type { AppConfig } from './config/app-config.js';
import { ConfigModule } from './config/config.module.js';
import { DatabaseModule } from './database/database.module.js';
import { FlightsModule } from './flights/flights.module.js';
import { HealthModule } from './health/health.module.js';
import { OutboxModule } from './outbox/outbox.module.js';
import { ProblemFilter } from './problem/problem.filter.js';
import { RequestValidationPipe } from './problem/request-validation.pipe.js';
import { redisModules } from './redis/redis.modules.js';
import { RoutesModule } from './routes/routes.module.js';
import { SeatsModule } from './seats/seats.module.js';
import { HttpDrain } from './shutdown/http-drain.js';
import { StatsModule } from './stats/stats.module.js';
import { TicketsModule } from './tickets/tickets.module.js';

@Module({})
export class AppModule {
  static forRoot(config: AppConfig): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot(config),
        DatabaseModule,
        ...redisModules(config),
        AirportsModule,
        FlightsModule,
        SeatsModule,
        AvailabilityModule,
        RoutesModule,
        OutboxModule,
        BookingsModule,
        TicketsModule,
        HealthModule,
        StatsModule.forRoot(config),
      ],
      providers: [
        HttpDrain,
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: APP_PIPE, useClass: RequestValidationPipe },
      ],
    };
  }
}
