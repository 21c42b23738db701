import { Injectable, Logger } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { Database } from '../database/database.js';
import { messageOf, withoutPasswords } from '../startup/startup-error.js';

const TIMEOUT_MS = 2_000;

@Injectable()
export class DatabaseHealth {
  readonly #logger = new Logger('Health');

  constructor(
    private readonly database: Database,
    private readonly indicators: HealthIndicatorService,
  ) {}

  async check(): Promise<HealthIndicatorResult<'database'>> {
    const indicator = this.indicators.check('database');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no answer within ${TIMEOUT_MS} ms`));
      }, TIMEOUT_MS);
    });
    try {
      await Promise.race([this.database.ping(), late]);
      return indicator.up();
    } catch (error) {
      // The cause names hosts and users: it belongs in the log, not in the answer.
      this.#logger.warn(`The database is down: ${withoutPasswords(messageOf(error))}`);
      return indicator.down('not reachable');
    } finally {
      clearTimeout(timer);
    }
  }
}
