import type { Publication } from './scripts/publish.js';
import { durationMs, RedstartError, type Duration } from '@redstart/redis-core';

/** The base of every error of redis-streams. */
export abstract class StreamsError extends RedstartError {}

/** What a Standard Schema found: where, and what; never the value itself. */
export interface PayloadIssue {
  readonly path: string;
  readonly message: string;
}

/**
 * A payload does not fit the schema of its event. Thrown by `publish` (nothing was sent then); on the consumer's side the entry becomes a dead letter
 * of the reason `schema`.
 */
export class InvalidPayloadError extends StreamsError {
  readonly code = 'STREAM_INVALID_PAYLOAD';

  constructor(
    readonly stream: string,
    readonly type: string,
    readonly issues: readonly PayloadIssue[],
  ) {
    super(
      `The payload of "${type}" does not fit its schema in the stream "${stream}": ` +
        issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; '),
    );
  }
}

/** A payload takes more bytes than `maxPayloadBytes`, encoded and before compression. Thrown by `publish`; nothing was sent. */
export class PayloadTooLargeError extends StreamsError {
  readonly code = 'STREAM_PAYLOAD_TOO_LARGE';

  constructor(
    readonly bytes: number,
    readonly maxBytes: number,
  ) {
    super(
      `The payload takes ${bytes} bytes when encoded; maxPayloadBytes allows ${maxBytes}. Publish a reference to it instead, or raise maxPayloadBytes in every process that uses the stream.`,
    );
  }
}

/** Some messages of a `publishBatch` were not published, or nobody knows; the others were. {@link outcomes} tells it for each, in the order of the call. */
export class BatchPublishError extends StreamsError {
  readonly code = 'STREAM_BATCH_INCOMPLETE';

  constructor(readonly outcomes: readonly PromiseSettledResult<Publication>[]) {
    const failed = outcomes.flatMap((outcome, at) => (outcome.status === 'rejected' ? [{ at, outcome }] : []));
    const [first] = failed;
    const reason: unknown = first?.outcome.reason;
    super(
      `${failed.length} of ${outcomes.length} messages were not published, or their outcome is unknown; error.outcomes tells it for each. ` +
        `The first is [${first?.at}]: ${reason instanceof Error ? reason.message : 'it threw no error'}`,
      { cause: reason },
    );
  }
}

/** An entry was not written by a producer of ours, or by one of a later version. It becomes a dead letter of the reason `undecodable`. */
export class UndecodableEntryError extends StreamsError {
  readonly code = 'STREAM_UNDECODABLE_ENTRY';

  constructor(
    readonly id: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(`The entry ${id} can't be read: ${problem}`, options);
  }
}

/** Thrown by a handler to say that trying again is of no use: the entry becomes a dead letter at once, of the reason `unrecoverable`. */
export class UnrecoverableError extends StreamsError {
  readonly code = 'STREAM_UNRECOVERABLE';
}

/** A stream has no group of that name, or does not exist. Thrown by `StreamAdmin`. */
export class StreamGroupNotFoundError extends StreamsError {
  readonly code = 'STREAM_GROUP_NOT_FOUND';

  constructor(
    readonly stream: string,
    readonly group: string,
    readonly known: readonly string[],
    hint = 'It has none at all, or does not exist.',
  ) {
    super(
      `The stream "${stream}" has no group "${group}". ` +
        (known.length === 0 ? hint : `Known groups: ${known.join(', ')}.`),
    );
  }
}

/** Thrown by a handler to say when the message is to come again, instead of after its backoff. Counts as a failed attempt. */
export class RetryAfterError extends StreamsError {
  readonly code = 'STREAM_RETRY_AFTER';
  /** Milliseconds until the next attempt. */
  readonly delayMs: number;

  /** @throws OptionsError for what is no duration */
  constructor(delay: Duration, message = 'The message is to come again later.', options?: ErrorOptions) {
    super(message, options);
    this.delayMs = durationMs(delay, 'RetryAfterError(delay)', { min: 0 });
  }
}

/**
 * The key of a stream, of a group's retries or of its dead letters holds something else. At boot the application does not start. Where it is replaced later, that stream is not read until the key
 * is deleted, and tried again every six block periods; others are not touched by it.
 */
export class StreamTypeError extends StreamsError {
  readonly code = 'STREAM_WRONG_TYPE';
  /** What the key holds, as TYPE calls it; `undefined` when only that it is no stream is known. */
  readonly found: string | undefined;

  constructor(
    readonly key: string,
    { found, ...options }: ErrorOptions & { found?: string } = {},
  ) {
    super(
      `The key "${key}" holds ${found === undefined ? 'no stream' : `a ${found}, no stream`}, so nothing can be read from it. Find out who writes it, and delete or rename it.`,
      options,
    );
    this.found = found;
  }
}

/** `ctx.commit` was called again in one run: its message is acknowledged, or about to be. What belongs together goes into one commit. */
export class AlreadyCommittedError extends StreamsError {
  readonly code = 'STREAM_ALREADY_COMMITTED';

  constructor(readonly id: string) {
    super(
      `The entry ${id} has been committed, or is at this moment. Put all effects of a message into one ctx.commit.`,
    );
  }
}

/** A handler took longer than its `timeout`. Counts as a failed attempt; the handler itself may still be running, with its signal aborted. */
export class HandlerTimeoutError extends StreamsError {
  readonly code = 'STREAM_HANDLER_TIMEOUT';

  constructor(
    readonly handler: string,
    readonly timeoutMs: number,
  ) {
    super(
      `${handler} had not finished within ${timeoutMs} ms. Raise its timeout, or let it heed ctx.signal, which has aborted.`,
    );
  }
}

/** The message belongs to another consumer by now, so `ctx.commit` changed nothing. Leave it at that: the other one handles it. */
export class EntryLostError extends StreamsError {
  readonly code = 'STREAM_ENTRY_LOST';

  constructor(readonly id: string) {
    super(
      `The entry ${id} belongs to this consumer no more: it took longer than minIdle without being able to renew it. Nothing was changed.`,
    );
  }
}
