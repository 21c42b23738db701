import { StreamsError } from '../streams.errors.js';
import type { ObservedMessage } from './streams-harness.js';

/** What a test expected of a message did not happen in time, or can't happen any more. Tells what happened instead, without payloads. */
export class ExpectationNotMetError extends StreamsError {
  readonly code = 'STREAM_EXPECTATION_NOT_MET';

  constructor(
    expected: string,
    about: string,
    readonly observed: readonly ObservedMessage[],
  ) {
    const story = observed.map(
      ({ outcome, attempt, reason }) => `${outcome}${reason === undefined ? '' : ` (${reason})`} at attempt ${attempt}`,
    );
    super(
      `Expected ${about} to be ${expected}; ${story.length === 0 ? 'nothing became of it' : story.join(', then ')}.`,
    );
  }
}
