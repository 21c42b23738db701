import { inspect } from 'node:util';
import type { Delivery } from '../scripts/claim.js';
import type { GroupMember } from './group.js';

/**
 * Why an entry was given up.
 *
 * - `attempts`: its handler failed as often as allowed · `unrecoverable`: the handler said so, or a guard refused it
 * - `schema`: the payload does not fit · `undecodable`: not an entry of ours
 * - `deliveries`: delivered too often without an outcome, so it seems to kill its consumers
 */
export type DeadLetterReason = 'attempts' | 'unrecoverable' | 'schema' | 'undecodable' | 'deliveries';

export interface DeadLetterCause {
  readonly reason: DeadLetterReason;
  readonly error?: unknown;
}

const longestText = 4_096;

/** What a dead letter tells in front of the fields of its entry. The names begin with `x-`, the entry's do not. */
export function deadLetterFields(
  { consumer, name }: GroupMember,
  { id, deliveries }: Delivery,
  { reason, error }: DeadLetterCause,
): string[] {
  return [
    ...['x-id', id, 'x-stream', consumer.stream.name, 'x-group', consumer.group, 'x-consumer', name],
    ...['x-deliveries', String(deliveries), 'x-reason', reason],
    ...(error instanceof Error
      ? ['x-error', error.name, 'x-message', clip(error.message), 'x-stack', clip(error.stack ?? '')]
      : ['x-error', '', 'x-message', error === undefined ? '' : clip(inspect(error)), 'x-stack', '']),
  ];
}

function clip(text: string): string {
  return text.slice(0, longestText);
}
