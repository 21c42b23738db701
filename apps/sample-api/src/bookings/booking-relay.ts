import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { RedstartError } from '@redstart/redis-core';
import { InjectStream, StreamProducer } from '@redstart/redis-streams';
import { AppConfig } from '../config/app-config.js';
import { isDatabaseUnavailable } from '../database/database.errors.js';
import { messageOf, stackOf, withoutPasswords } from '../startup/startup-error.js';
import { BookingsRepository } from './bookings.repository.js';
import { announce, bookingEvents } from './bookings.stream.js';

const BATCH_SIZE = 100;

/**
 * Announces again every booking that has no ticket after a while: its message could not be published, or got lost with the stream.
 *
 * It begins to *wait* when the application has booted, and *passes* over those bookings every `republishAfterSeconds`, counted from the end of the pass before, so
 * that passes never overlap. `onModuleDestroy` ends it: a pass that runs stops behind its batch, and is waited for.
 *
 * Every process of the application does this, also for bookings whose ticket is merely on its way. That is harmless: a message id is published once within the
 * deduplication window, and a booking has one ticket at most.
 */
@Injectable()
export class BookingRelay implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #logger = new Logger('Bookings');
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Without it an outage would fill the log, pass by pass. */
  #isFailing = false;

  constructor(
    private readonly config: AppConfig,
    private readonly bookings: BookingsRepository,
    @InjectStream(bookingEvents) private readonly events: StreamProducer<typeof bookingEvents>,
  ) {}

  onApplicationBootstrap(): void {
    this.#running = this.#run();
  }

  async onModuleDestroy(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** One pass, in batches. @returns how many messages were missing */
  async pass(): Promise<number> {
    let missing = 0;
    let after: string | undefined;
    do {
      const ids = await this.bookings.findWithoutTicket({
        forSeconds: this.config.republishAfterSeconds,
        after,
        limit: BATCH_SIZE,
      });
      const publications = await Promise.all(ids.map((id) => announce(this.events, id)));
      missing += publications.filter(({ duplicate }) => !duplicate).length;
      after = ids.length === BATCH_SIZE ? ids.at(-1) : undefined;
    } while (after !== undefined && !this.#stopping.signal.aborted);
    return missing;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await pause(this.config.republishAfterSeconds * 1_000, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      await this.pass().then(
        (missing) => {
          this.#reportSuccess(missing);
        },
        (error: unknown) => {
          this.#reportFailure(error);
        },
      );
    }
  }

  #reportSuccess(missing: number): void {
    this.#isFailing = false;
    if (missing > 0) this.#logger.log(`Announced ${missing} bookings that had no ticket`);
  }

  #reportFailure(error: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    const what = 'Bookings without a ticket can not be announced again at the moment';
    if (error instanceof RedstartError || isDatabaseUnavailable(error)) {
      this.#logger.warn(`${what}: ${withoutPasswords(messageOf(error))}`);
    } else this.#logger.error(what, stackOf(error));
  }
}
