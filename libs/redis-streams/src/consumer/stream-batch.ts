import type { StreamContext } from './stream-context.js';

/** One message of a batch. */
export interface StreamMessage<Payload = unknown> {
  readonly payload: Payload;
  /** Its own context: its id, attempt, headers, and `retry` and `deadLetter` for it alone. */
  readonly ctx: StreamContext;
}

/** What a batch handler learns of its batch. */
export interface BatchContext {
  readonly stream: string;
  readonly group: string;
  /** Aborts when the handler's `timeout` is over, and when the time to finish at shutdown is. Each message has a signal of its own, too. */
  readonly signal: AbortSignal;
}

/** Which messages of a batch have failed, and with what; the others were handled. */
export interface BatchResult {
  readonly failed: readonly { readonly message: StreamMessage<never> | StreamMessage; readonly error: unknown }[];
}
