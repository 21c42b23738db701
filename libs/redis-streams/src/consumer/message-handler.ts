import type { HandlerMetadata } from '../decorators/handler-metadata.js';
import type { RetryPolicy } from './retry-policy.js';

/** A method of a consumer, ready to be called through Nest's guards, pipes, interceptors and filters. */
export interface MessageHandler {
  /** For the log: `BillingConsumer.created`. */
  readonly name: string;
  /** The type of its event, or a pattern. */
  readonly pattern: string;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number | undefined;
  readonly batch: HandlerMetadata['batch'];
  /** How long its inbox remembers a message, in milliseconds; undefined without one. */
  readonly inboxMs: number | undefined;
  /** With a payload and its context; of a batch handler with the messages and the context of the batch. */
  invoke(payload: unknown, ctx: object): Promise<unknown>;
}

export type BatchHandler = MessageHandler & { readonly batch: NonNullable<HandlerMetadata['batch']> };

export function isBatchHandler(handler: MessageHandler): handler is BatchHandler {
  return handler.batch !== undefined;
}
