import { randomUUID } from 'node:crypto';
import type { Duration } from '@redstart/redis-core';
import { unknownEvent, type StreamDefinition } from '../definition/define-stream.js';
import { validatePayload } from '../message/validate-payload.js';
import { publishAll, type AnyBatchMessage } from '../producer/batch.js';
import { checkMessageId, dueTime, resolvePublishOptions, type PublishOptions } from '../producer/publish-options.js';
import type { StreamProducer } from '../producer/stream-producer.js';
import { resolveReadOptions, type ReadOptions } from '../reading/read-options.js';
import type { RetentionCounters } from '../retention/stream-keeper.js';
import type { DueTime } from '../scripts/due-time.js';
import type { Publication } from '../scripts/publish.js';

/** Everything that a producer of any stream can do. */
type ProducerFace = Pick<StreamProducer, keyof StreamProducer>;

/** A producer that checks what it is given, and sends nothing. */
export class NoopProducer implements ProducerFace {
  /** Nothing is trimmed. */
  readonly retention: RetentionCounters = { trimmed: 0, lost: 0, stalledGroups: 0 };
  readonly #stream: StreamDefinition;
  readonly #byMessageId = new Map<string, Publication>();
  readonly #waiting = new Set<string>();
  #published = 0;

  constructor(stream: StreamDefinition) {
    this.#stream = stream;
  }

  async publish(type: string, payload: unknown, options?: PublishOptions): Promise<Publication> {
    return this.#accept(await this.#check({ type, payload, ...options }, 'publish'));
  }

  publishBatch(messages: readonly AnyBatchMessage[]): Promise<Publication[]> {
    return publishAll(
      messages,
      (message) => this.#check(message, 'publishBatch'),
      (checked) => Promise.resolve(this.#accept(checked)),
    );
  }

  cancel(id: string): Promise<boolean> {
    checkMessageId(id, 'cancel(id)');
    this.#byMessageId.delete(id);
    return Promise.resolve(this.#waiting.delete(id));
  }

  reschedule(id: string, when: Duration | Date): Promise<boolean> {
    checkMessageId(id, 'reschedule(id)');
    dueTime(when, 'reschedule(when)');
    return Promise.resolve(this.#waiting.has(id));
  }

  read(options: ReadOptions): AsyncIterable<never> {
    resolveReadOptions(this.#stream, options);
    return nothing();
  }

  async #check({ type, payload, ...options }: AnyBatchMessage, where: string) {
    if (!Object.hasOwn(this.#stream.events, type)) throw unknownEvent(this.#stream, type);
    const { messageId, due } = resolvePublishOptions(options, where);
    await validatePayload(this.#stream, type, payload);
    return { messageId, due };
  }

  #accept({ messageId, due }: { messageId: string; due: DueTime | undefined }): Publication {
    const earlier = this.#byMessageId.get(messageId);
    if (earlier !== undefined) return { ...earlier, duplicate: true };
    const publication = due === undefined ? this.#add() : this.#delay(messageId, due);
    if (messageId !== '') this.#byMessageId.set(messageId, publication);
    return publication;
  }

  #add(): Publication {
    this.#published += 1;
    return { id: `0-${this.#published}`, duplicate: false };
  }

  #delay(messageId: string, due: DueTime): Publication {
    const id = messageId === '' ? randomUUID() : messageId;
    this.#waiting.add(id);
    return { id, duplicate: false, dueAt: new Date('atMs' in due ? due.atMs : Date.now() + due.inMs) };
  }
}

function nothing(): AsyncIterable<never> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }) };
}
