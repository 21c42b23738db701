import { RedstartError } from '@redstart/redis-core';
import { LockQuorumError } from './quorum.errors.js';
import { quorumOf, type Poll, type Refusal } from './votes.js';

/** What each node had against it. */
export function quorumError(
  key: string,
  { refusals }: Pick<Poll, 'refusals'>,
  nodes: number,
  late = false,
): LockQuorumError {
  const causes = Object.fromEntries(refusals.map((refusal) => [refusal.node, reasonOf(refusal)]));
  return new LockQuorumError(key, { needed: quorumOf(nodes), nodes, late, causes });
}

function reasonOf(refusal: Refusal): string {
  return refusal.failed ? causeOf(refusal.error) : 'somebody else has it there, or it is gone.';
}

/** The messages of our own errors hold no secrets; what others say is not repeated. */
export function causeOf(error: unknown): string {
  if (error instanceof RedstartError) return error.message;
  return error instanceof Error ? error.name : 'an unknown failure';
}
