import { describeError, type ErrorDescription } from '@redstart/redis-core';
import { carriedFields } from '../message/carried-fields.js';
import type { GroupMember } from './group.js';
import type { HeldEntry } from './held-entry.js';

/**
 * Why an entry was given up.
 *
 * - `attempts`: its handler failed as often as allowed · `unrecoverable`: the handler said so, or a guard refused it
 * - `schema`: the payload does not fit · `undecodable`: not an entry of ours · `unknown-type`: an event that the stream does not declare, and no handler takes
 * - `deliveries`: delivered too often without an outcome, and then tried three times with no end, so it seems to kill its consumers
 */
export type DeadLetterReason = (typeof deadLetterReasons)[number];

export const deadLetterReasons = [
  'attempts',
  'unrecoverable',
  'schema',
  'undecodable',
  'unknown-type',
  'deliveries',
] as const;

export interface DeadLetterCause {
  readonly reason: DeadLetterReason;
  readonly error?: unknown;
}

const longestText = 4_096;
const nothing: ErrorDescription = { name: '', message: '', stack: '' };

/** What a dead letter tells in front of the fields of its entry, and these. Its own names begin with `x-`, the entry's do not. */
export function deadLetterFields(
  { consumer, name: consumerName }: GroupMember,
  entry: HeldEntry,
  { reason, error }: DeadLetterCause,
): (string | Buffer)[] {
  const { originId, failures, fields } = entry;
  const { name, message, stack } = error === undefined ? nothing : describeError(error);
  const attempts = failures + (reason === 'attempts' || reason === 'unrecoverable' ? 1 : 0);
  return [
    ...['x-id', originId, 'x-stream', consumer.stream.name, 'x-group', consumer.group, 'x-consumer', consumerName],
    ...['x-attempts', String(attempts), 'x-deliveries', String(failures + entry.deliveries), 'x-reason', reason],
    ...['x-error', clip(name), 'x-message', clip(message), 'x-stack', clip(stack)],
    ...carriedFields(fields),
  ];
}

function clip(text: string): string {
  return text.slice(0, longestText);
}
