import { RedstartError } from '@redstart/redis-core';

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
