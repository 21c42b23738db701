import { Injectable, Logger } from '@nestjs/common';
import { type OutboxMessage, type OutboxStore, type Publication } from '@redstart/redis-streams';
import type { bookingEvents } from '../bookings/bookings.stream.js';
import { AppConfig } from '../config/app-config.js';
import { OutboxRepository } from './outbox.repository.js';

/** After this time the rows of a relay that died are taken by another one. A slow one that is overtaken does no harm: the id of a message stays the same. */
const LEASE_SECONDS = 5;

/** The outbox as the relay of redis-streams sees it. A row stays when its message is sent: what deletes it is the effect, and without one it is sent again. */
@Injectable()
export class BookingOutbox implements OutboxStore<typeof bookingEvents> {
  readonly #logger = new Logger('Outbox');
  /** Of the rows that were fetched, those that were published before. */
  readonly #repetitions = new Set<string>();
  readonly #counts = { published: 0, repeated: 0 };

  constructor(
    private readonly config: AppConfig,
    private readonly outbox: OutboxRepository,
  ) {}

  /** What this process has published: all that Redis has taken, and of these what had been published before. */
  get counts(): { readonly published: number; readonly repeated: number } {
    return { ...this.#counts };
  }

  async fetchBatch(limit: number): Promise<OutboxMessage<typeof bookingEvents>[]> {
    const rows = await this.outbox.claimDue({ limit, forSeconds: LEASE_SECONDS });
    for (const { id, isRepetition } of rows) if (isRepetition) this.#repetitions.add(id);
    return rows.map(({ id, type, bookingId }) => ({ id, type, payload: { bookingId }, key: bookingId }));
  }

  async markSent(ids: readonly string[], publications: readonly Publication[]): Promise<void> {
    // Those of them that were there no more.
    let added = 0;
    ids.forEach((id, at) => {
      this.#counts.published += 1;
      if (!this.#repetitions.delete(id)) return;
      this.#counts.repeated += 1;
      if (publications[at]?.duplicate === false) added += 1;
    });
    if (added > 0) this.#logger.log(`Published ${added} messages again, because their effect was missing`);
    await this.outbox.markPublished(ids, { dueAgainAfterSeconds: this.config.republishAfterSeconds });
  }

  async release(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.#repetitions.delete(id);
    await this.outbox.release(ids);
  }
}
