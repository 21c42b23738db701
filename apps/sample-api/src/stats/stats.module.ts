import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import type { AppConfig } from '../config/app-config.js';
import { OutboxModule } from '../outbox/outbox.module.js';
import { AnswerCounter } from './answer-counter.js';
import { OperationCounter } from './operation-counter.js';
import { StatsController } from './stats.controller.js';
import { StatsService } from './stats.service.js';

@Module({
  imports: [OutboxModule],
  controllers: [StatsController],
  providers: [StatsService, AnswerCounter, OperationCounter],
})
class CountingModule implements NestModule {
  constructor(private readonly answers: AnswerCounter) {}

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(this.answers.middleware).forRoutes('{*path}');
  }
}

/** `GET /stats`, where the configuration asks for it. Otherwise nothing is counted and there is no such endpoint. */
@Module({})
export class StatsModule {
  static forRoot({ stats }: AppConfig): DynamicModule {
    return { module: StatsModule, imports: stats ? [CountingModule] : [] };
  }
}
