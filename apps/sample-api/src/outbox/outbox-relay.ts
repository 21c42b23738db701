import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { RedstartError } from '@redstart/redis-core';
import { InjectStream, StreamProducer } from '@redstart/redis-streams';
import { bookingEvents } from '../bookings/bookings.stream.js';
import { AppConfig } from '../config/app-config.js';
import { isDatabaseUnavailable } from '../database/database.errors.js';
import { messageOf, stackOf, withoutPasswords } from '../startup/startup-error.js';
import { OutboxRepository, type OutboxRow } from './outbox.repository.js';

const BATCH_SIZE = 100;
/** After this time the rows of a relay that died are taken by another one. A slow one that is overtaken does no harm: the id of a message stays the same. */
const LEASE_SECONDS = 5;

/**
 * Publishes the rows of the outbox, in their order, under the id of the row: Redis adds a message once, however often it is published within the deduplication
 * window.
 *
 * From the boot on it *rests* until somebody who has committed a row kicks it, or `outboxPollSeconds` are over, and then makes a *pass* over all rows that are due; kicks
 * during a pass lead to one more. While it *fails* it only polls. `onModuleDestroy` ends it, after the last request: a pass that runs stops behind its batch, and
 * what was kicked meanwhile gets a pass of one batch.
 *
 * Every process has one, and no row is with two of them.
 */
@Injectable()
export class OutboxRelay implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #logger = new Logger('Outbox');
  #running: Promise<void> = Promise.resolve();
  #isStopping = false;
  #isKicked = false;
  /** Without it an outage would fill the log, pass by pass, and each booking would try again. */
  #isFailing = false;
  #endRest: () => void = () => undefined;
  readonly #counts = { published: 0, repeated: 0 };

  constructor(
    private readonly config: AppConfig,
    private readonly outbox: OutboxRepository,
    @InjectStream(bookingEvents) private readonly events: StreamProducer<typeof bookingEvents>,
  ) {}

  onApplicationBootstrap(): void {
    this.#running = this.#run();
  }

  async onModuleDestroy(): Promise<void> {
    this.#isStopping = true;
    this.#endRest();
    await this.#running;
  }

  /** Call it after a row was committed, so that its message does not wait for the next poll. */
  kick(): void {
    this.#isKicked = true;
    if (!this.#isFailing) this.#endRest();
  }

  /** What this process has published: all that Redis has taken, and of these what had been published before. */
  get counts(): { readonly published: number; readonly repeated: number } {
    return { ...this.#counts };
  }

  /** Publishes what is due, in batches. @returns how many messages were not in the stream yet */
  async pass(): Promise<number> {
    let added = 0;
    let rows: OutboxRow[];
    do {
      rows = await this.outbox.claimDue({ limit: BATCH_SIZE, forSeconds: LEASE_SECONDS });
      if (rows.length > 0) added += await this.#publishInOrder(rows);
    } while (rows.length > 0 && !this.#isStopping);
    return added;
  }

  async #run(): Promise<void> {
    for (;;) {
      await this.#rest();
      if (this.#isStopping && !this.#isKicked) return;
      this.#isKicked = false;
      await this.pass().then(
        () => {
          this.#isFailing = false;
        },
        (error: unknown) => {
          this.#reportFailure(error);
        },
      );
    }
  }

  #rest(): Promise<void> {
    if (this.#isStopping || (this.#isKicked && !this.#isFailing)) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.config.outboxPollSeconds * 1_000).unref();
      this.#endRest = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** One after the other, up to the first that fails: what comes behind it must not overtake it. */
  async #publishInOrder(rows: OutboxRow[]): Promise<number> {
    const published: OutboxRow[] = [];
    let added = 0;
    let repeated = 0;
    try {
      for (const row of rows) {
        const { id, type, bookingId, isRepetition } = row;
        const { duplicate } = await this.events.publish(type, { bookingId }, { messageId: id, key: bookingId });
        published.push(row);
        this.#counts.published += 1;
        if (isRepetition) this.#counts.repeated += 1;
        if (!duplicate) added += 1;
        if (!duplicate && isRepetition) repeated += 1;
      }
    } finally {
      await this.#keepRecord(rows, published.length);
    }
    if (repeated > 0) this.#logger.log(`Published ${repeated} messages again, because their effect was missing`);
    return added;
  }

  async #keepRecord(rows: OutboxRow[], publishedCount: number): Promise<void> {
    const ids = rows.map(({ id }) => id);
    const [published, left] = [ids.slice(0, publishedCount), ids.slice(publishedCount)];
    const dueAgainAfterSeconds = this.config.republishAfterSeconds;
    if (published.length > 0) await this.outbox.markPublished(published, { dueAgainAfterSeconds });
    if (left.length > 0) await this.outbox.release(left);
  }

  #reportFailure(error: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    const what = 'Bookings can not be announced at the moment; it is tried again';
    if (error instanceof RedstartError || isDatabaseUnavailable(error)) {
      this.#logger.warn(`${what}: ${withoutPasswords(messageOf(error))}`);
    } else this.#logger.error(what, stackOf(error));
  }
}
