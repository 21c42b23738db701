import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { describeError, OptionsError, systemClock, Warnings, type Cancel, type Clock } from '@redstart/redis-core';
import type { StreamProducer } from '../producer/stream-producer.js';
import { resolveOutboxOptions, type OutboxRelayOptions, type ResolvedOutboxRelayOptions } from './outbox-options.js';
import type { OutboxStore } from './outbox-store.js';
import { sendBatch, type SentBatch } from './send-batch.js';

/** What a relay has done since its process started. */
export interface OutboxCounters {
  /** Messages that the stream has taken, those included that were there already. */
  sent: number;
  /** Of these the ones that were there already. */
  duplicates: number;
  /** Messages that it will never take; counted at each attempt. */
  refused: number;
}

const longestBackoffMs = 30_000;

/**
 * Sends the messages of an outbox to their stream, each under the id of its row: the stream takes a message once, however often it is sent within `deduplicationWindow`.
 *
 * From the boot on it *rests* until somebody who has committed a message kicks it, or `pollInterval` is over, and then makes a *pass*: batch after batch, until nothing is left to
 * send; kicks during a pass lead to one more. While passes *fail* it only polls, after twice the time each (up to 30 s, or `pollInterval` if that is longer), so that an outage is
 * not made worse by those who kick. `onModuleDestroy` ends it: a pass that runs stops behind its batch, and what was kicked meanwhile gets a pass of one batch.
 */
export class OutboxRelay implements OnApplicationBootstrap, OnModuleDestroy {
  readonly counters: OutboxCounters = { sent: 0, duplicates: 0, refused: 0 };
  readonly #producer: StreamProducer;
  readonly #store: OutboxStore;
  readonly #options: ResolvedOutboxRelayOptions;
  readonly #clock: Clock;
  readonly #warnings: Warnings;
  #running: Promise<void> = Promise.resolve();
  #stopping = false;
  #kicked = false;
  /** Passes that failed in a row. Without it an outage would fill the log, and every kick would try again. */
  #failures = 0;
  #endRest: () => void = () => undefined;

  /** @internal Made by `provideOutboxRelay`. @throws OptionsError */
  constructor(
    stream: string,
    producer: StreamProducer,
    store: OutboxStore,
    options: OutboxRelayOptions = {},
    clock = systemClock,
  ) {
    const where = `provideOutboxRelay(${stream})`;
    if (typeof store.fetchBatch !== 'function' || typeof store.markSent !== 'function') {
      throw new OptionsError(`${where}.store`, 'is no OutboxStore: it has no fetchBatch() and markSent().');
    }
    this.#producer = producer;
    this.#store = store;
    this.#options = resolveOutboxOptions(options, where);
    this.#clock = clock;
    this.#warnings = new Warnings(`OutboxRelay ${stream}`, clock);
  }

  onApplicationBootstrap(): void {
    if (this.#options.enabled) this.#running = this.#run();
  }

  async onModuleDestroy(): Promise<void> {
    this.#stopping = true;
    this.#endRest();
    let cancel: Cancel = () => undefined;
    const late = new Promise<void>((resolve) => {
      cancel = this.#clock.after(this.#options.drainTimeoutMs, resolve);
    });
    await Promise.race([this.#running, late]);
    cancel();
  }

  /** Call it after a message was committed, so that it does not wait for the next poll. */
  kick(): void {
    this.#kicked = true;
    if (this.#failures === 0) this.#endRest();
  }

  /**
   * Sends what there is to send, in batches. The relay does so by itself; for tests, and for jobs that want to know.
   *
   * @returns how many messages were not in the stream yet
   * @throws whatever the store throws · RedisUnavailableError; what was sent before is marked, the rest is released
   */
  async pass(): Promise<number> {
    let added = 0;
    for (;;) {
      const messages = await this.#store.fetchBatch(this.#options.batchSize);
      if (messages.length === 0) return added;
      const batch = await sendBatch(this.#producer, messages, this.#options.order);
      added += this.#count(batch);
      await this.#keepRecord(batch);
      if (batch.failure !== undefined) throw batch.failure.error;
      // Where the stream takes none of them, asking again would only bring the same ones.
      if (this.#stopping || batch.sent.length === 0) return added;
    }
  }

  async #run(): Promise<void> {
    for (;;) {
      await this.#rest();
      if (this.#stopping && !this.#kicked) return;
      this.#kicked = false;
      try {
        await this.pass();
        this.#failures = 0;
      } catch (error) {
        this.#failures += 1;
        if (this.#failures === 1) this.#tell(error);
      }
    }
  }

  #rest(): Promise<void> {
    if (this.#stopping || (this.#kicked && this.#failures === 0)) return Promise.resolve();
    const { pollIntervalMs } = this.#options;
    const longestMs = Math.max(pollIntervalMs, longestBackoffMs);
    const ms = Math.min(longestMs, pollIntervalMs * 2 ** Math.min(Math.max(0, this.#failures - 1), 20));
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, resolve, { unref: true });
      this.#endRest = () => {
        cancel();
        resolve();
      };
    });
  }

  /** @returns how many were added */
  #count({ sent, refused }: SentBatch): number {
    const duplicates = sent.filter(({ publication }) => publication.duplicate).length;
    this.counters.sent += sent.length;
    this.counters.duplicates += duplicates;
    this.counters.refused += refused.length;
    for (const { id, error } of refused) {
      this.#warnings.warn(error.message, `The message ${id} can not be sent, now or later: ${error.message}`);
    }
    return sent.length - duplicates;
  }

  async #keepRecord({ sent, refused, left }: SentBatch): Promise<void> {
    if (sent.length > 0) {
      await this.#store.markSent(
        sent.map(({ id }) => id),
        sent.map(({ publication }) => publication),
      );
    }
    if (refused.length > 0) await this.#store.markRefused?.(refused);
    if (left.length > 0) await this.#store.release?.(left);
  }

  /** Never throws, and waits for nobody: the relay goes on by itself. */
  #tell(error: unknown): void {
    const { message } = describeError(error);
    const trouble = `Messages of the outbox can not be sent at the moment; it is tried again: ${message}`;
    const { onFailure } = this.#options;
    if (onFailure === undefined) {
      this.#warnings.warn('failure', trouble);
      return;
    }
    void Promise.resolve(error)
      .then(onFailure)
      .catch((failure: unknown) => {
        this.#warnings.warn('onFailure', `${trouble} (and onFailure failed: ${describeError(failure).message})`);
      });
  }
}
