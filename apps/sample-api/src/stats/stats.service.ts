import { Injectable } from '@nestjs/common';
import { CacheService } from '@redstart/redis-cache';
import { BookingOutbox } from '../outbox/booking-outbox.js';
import { AnswerCounter } from './answer-counter.js';
import { OperationCounter } from './operation-counter.js';
import type { Stats } from './stats.dto.js';

/** What this process has counted since it started. Asks nothing of Redis or of the database, so an outage does not hide it. */
@Injectable()
export class StatsService {
  readonly #since = new Date().toISOString();

  constructor(
    private readonly answers: AnswerCounter,
    private readonly cache: CacheService,
    private readonly outbox: BookingOutbox,
    private readonly operations: OperationCounter,
  ) {}

  read(): Stats {
    return {
      since: this.#since,
      answers: this.answers.snapshot(),
      cache: this.cache.stats(),
      outbox: this.outbox.counts,
      operations: this.operations.snapshot(),
    };
  }
}
