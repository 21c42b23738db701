import { InvalidKeyError, OptionsError, UnsupportedValueError } from '@redstart/redis-core';
import type { StreamProducer } from '../producer/stream-producer.js';
import type { Publication } from '../scripts/publish.js';
import { InvalidPayloadError, PayloadTooLargeError } from '../streams.errors.js';
import type { OutboxMessage, RefusedMessage } from './outbox-store.js';

/** What became of the messages of one batch; each is in one of the lists. */
export interface SentBatch {
  readonly sent: { readonly id: string; readonly publication: Publication }[];
  readonly refused: RefusedMessage[];
  /** Those that failed, and those that were not begun after that. */
  readonly left: string[];
  /** Why there are some left. */
  failure: { readonly error: unknown } | undefined;
}

/** Publishes messages under their ids: one after the other, or at the same time as far as their keys differ. After a failure nothing new is begun. Never rejects. */
export async function sendBatch(
  producer: StreamProducer,
  messages: readonly OutboxMessage[],
  order: 'stream' | 'key',
): Promise<SentBatch> {
  const batch: SentBatch = { sent: [], refused: [], left: [], failure: undefined };
  const lanes = new Map<string, OutboxMessage[]>();
  for (const message of messages) {
    const lane = order === 'stream' ? '' : isMissing(message.key) ? `id ${message.id}` : `key ${message.key}`;
    const known = lanes.get(lane);
    if (known === undefined) lanes.set(lane, [message]);
    else known.push(message);
  }
  await Promise.all([...lanes.values()].map((lane) => sendInOrder(producer, lane, batch)));
  return batch;
}

async function sendInOrder(producer: StreamProducer, messages: readonly OutboxMessage[], batch: SentBatch) {
  for (const { id, type, payload, key, headers } of messages) {
    if (batch.failure !== undefined) {
      batch.left.push(id);
      continue;
    }
    try {
      checkId(id);
      const options = {
        messageId: id,
        ...(isMissing(key) ? {} : { key }),
        ...(isMissing(headers) ? {} : { headers }),
      };
      batch.sent.push({ id, publication: await producer.publish(type, payload, options) });
    } catch (error) {
      if (isRefusal(error)) batch.refused.push({ id, error });
      else {
        batch.failure ??= { error };
        batch.left.push(id);
      }
    }
  }
}

/** A database says null where there is none. */
function isMissing(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** Wrong for all rows alike, so nothing that a single message could be put aside for. */
function checkId(id: unknown): void {
  if (typeof id === 'string') return;
  throw new TypeError(
    `OutboxStore.fetchBatch() returned a message whose id is no string but ${typeof id}; make it one: String(row.id), or id::text in the query.`,
  );
}

/** Whether nothing was sent, and nothing ever will be. */
function isRefusal(error: unknown): error is Error {
  return [InvalidPayloadError, PayloadTooLargeError, UnsupportedValueError, OptionsError, InvalidKeyError].some(
    (refusal) => error instanceof refusal,
  );
}
