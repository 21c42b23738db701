import { ForbiddenException } from '@nestjs/common';
import type { Codec } from '@redstart/redis-core';
import { decodeEnvelope, type Envelope } from '../message/envelope.js';
import { validatePayload } from '../message/validate-payload.js';
import type { Delivery } from '../scripts/claim.js';
import { InvalidPayloadError, UndecodableEntryError, UnrecoverableError } from '../streams.errors.js';
import type { DeadLetterCause } from './dead-letter.js';
import type { GroupMember } from './group.js';
import type { Reporter } from './reporter.js';
import type { StreamContext } from './stream-context.js';

/** A method of a consumer, ready to be called through Nest's guards, pipes, interceptors and filters. */
export interface MessageHandler {
  /** For the log: `BillingConsumer.created`. */
  readonly name: string;
  readonly attempts: number | undefined;
  invoke(payload: unknown, ctx: StreamContext): Promise<unknown>;
}

/** What is to become of an entry. */
export type Verdict =
  { readonly kind: 'handled' | 'unhandled' | 'failed' } | { readonly kind: 'dead'; readonly cause: DeadLetterCause };

/** Decides what becomes of an entry: decodes it, finds its handler, validates, and runs it. Sends nothing to Redis. */
export class MessageHandling {
  constructor(
    private readonly member: GroupMember,
    private readonly codec: Codec,
    private readonly handlers: ReadonlyMap<string, MessageHandler>,
    private readonly reporter: Reporter,
  ) {}

  /** Never rejects. */
  async handle(delivery: Delivery, signal: AbortSignal): Promise<Verdict> {
    const { options, consumer } = this.member;
    if (delivery.deliveries > options.maxDeliveries) return dead({ reason: 'deliveries' });
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(delivery, this.codec);
    } catch (error) {
      this.reporter.error(`reading an entry of "${consumer.stream.name}"`, error);
      return dead({ reason: 'undecodable', error });
    }
    const handler = this.handlers.get(envelope.type);
    if (handler === undefined) return { kind: 'unhandled' };
    try {
      const payload = await validatePayload(consumer.stream, envelope.type, envelope.payload);
      await handler.invoke(payload, this.#context(delivery, envelope, signal));
      return { kind: 'handled' };
    } catch (error) {
      return this.#afterFailure(delivery, handler, error);
    }
  }

  #afterFailure({ id, deliveries }: Delivery, handler: MessageHandler, error: unknown): Verdict {
    const { options, consumer } = this.member;
    this.reporter.error(
      `${handler.name} handled the entry ${id} of "${consumer.stream.name}", delivery ${deliveries}`,
      error,
    );
    if (error instanceof InvalidPayloadError) return dead({ reason: 'schema', error });
    if (error instanceof UndecodableEntryError) return dead({ reason: 'undecodable', error });
    // A guard that refuses a message now would refuse it again.
    if (error instanceof UnrecoverableError || error instanceof ForbiddenException) {
      return dead({ reason: 'unrecoverable', error });
    }
    return deliveries >= (handler.attempts ?? options.attempts)
      ? dead({ reason: 'attempts', error })
      : { kind: 'failed' };
  }

  #context({ id, deliveries }: Delivery, envelope: Envelope, signal: AbortSignal): StreamContext {
    const { stream, group } = this.member.consumer;
    const { type, key, headers, messageId } = envelope;
    return Object.freeze({
      id,
      messageId: messageId === '' ? id : messageId,
      stream: stream.name,
      group,
      type,
      key,
      attempt: deliveries,
      deliveries,
      headers,
      publishedAt: new Date(Number(id.slice(0, id.indexOf('-')))),
      signal,
    });
  }
}

function dead(cause: DeadLetterCause): Verdict {
  return { kind: 'dead', cause };
}
