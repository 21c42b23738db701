import type { Cancel, Clock } from '@redstart/redis-core';
import type { HeldEntry } from './held-entry.js';
import type { MessageContext } from './message-context.js';
import type { BatchHandler } from './message-handler.js';
import type { StreamMessage } from './stream-batch.js';

/** A message of a batch, and its entry. */
export interface BatchItem {
  readonly entry: HeldEntry;
  readonly ctx: MessageContext;
  readonly message: StreamMessage;
}

/** Messages that one call of a batch handler gets. */
export class Batch {
  readonly #abort = new AbortController();

  constructor(
    readonly handler: BatchHandler,
    readonly items: BatchItem[] = [],
  ) {}

  /** The same without some. */
  without(items: readonly BatchItem[]): Batch {
    if (items.length === 0) return this;
    return new Batch(
      this.handler,
      this.items.filter((item) => !items.includes(item)),
    );
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Aborts its signal and those of all its messages. */
  abort(reason: Error): void {
    for (const { entry } of this.items) entry.abort(reason);
    this.#abort.abort(reason);
  }
}

/**
 * Gathers the messages of batch handlers.
 *
 * A batch is *open* from its first message until it is full, or has waited for `maxWait`; then it is *ready*, and `onReady` is told. There is one open batch per handler, and one timer per batch.
 */
export class BatchCollector {
  readonly #clock: Clock;
  readonly #onReady: (batch: Batch) => void;
  readonly #open = new Map<BatchHandler, { readonly batch: Batch; readonly cancel: Cancel }>();

  constructor(clock: Clock, onReady: (batch: Batch) => void) {
    this.#clock = clock;
    this.#onReady = onReady;
  }

  add(handler: BatchHandler, item: BatchItem): void {
    const { batch } = this.#open.get(handler) ?? this.#begin(handler);
    batch.items.push(item);
    if (batch.items.length >= handler.batch.size) this.#close(handler);
  }

  /** Takes out those that a condition holds for. */
  take(condition: (entry: HeldEntry) => boolean): BatchItem[] {
    const taken: BatchItem[] = [];
    for (const [handler, { batch, cancel }] of this.#open) {
      const left = batch.items.filter(({ entry }) => !condition(entry));
      taken.push(...batch.items.filter(({ entry }) => condition(entry)));
      batch.items.splice(0, batch.items.length, ...left);
      if (left.length > 0) continue;
      cancel();
      this.#open.delete(handler);
    }
    return taken;
  }

  #begin(handler: BatchHandler) {
    const batch = new Batch(handler);
    const cancel = this.#clock.after(handler.batch.maxWaitMs, () => {
      this.#close(handler);
    });
    const open = { batch, cancel };
    this.#open.set(handler, open);
    return open;
  }

  #close(handler: BatchHandler): void {
    const open = this.#open.get(handler);
    if (open === undefined) return;
    this.#open.delete(handler);
    open.cancel();
    this.#onReady(open.batch);
  }
}
