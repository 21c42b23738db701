import { RedisCommandError, RedisUnavailableError, type RedisCall, type RedisConnection } from '@redstart/redis-core';
import type { DelayMover } from '../delay/delay-mover.js';
import type { ResolvedStreamsOptions } from '../streams.options.js';
import type { ConsumerMetadata } from '../decorators/stream-consumer.js';
import type { TrialGate } from './trials.js';

/** Everything that the agents of one consumer need to know: which group they work for, and under which name. */
export interface GroupMember {
  readonly connection: RedisConnection;
  readonly options: ResolvedStreamsOptions;
  readonly consumer: ConsumerMetadata;
  /** Where messages wait for their next attempt. */
  readonly delays: DelayMover;
  /** Shared by all consumers of the application. */
  readonly trials: TrialGate;
  /** The consumer's name within its group. Unique in the world: two of one name would see each other's entries as their own. */
  readonly name: string;
}

/** How a command of the background work is described. */
export function backgroundCall({ options }: Pick<GroupMember, 'options'>, operation: string): RedisCall {
  return { library: 'redis-streams', operation: `streams.${operation}`, budgetMs: options.commandTimeoutMs };
}

/** The same of what keeps a lease. */
export function renewingCall(member: Pick<GroupMember, 'options'>, operation: string): RedisCall {
  return { ...backgroundCall(member, operation), essential: true };
}

/** Whether an answer says that the group, or its stream, is gone. */
export function isGroupGone(error: unknown): boolean {
  return error instanceof RedisCommandError && (error.reason === 'NOGROUP' || error.reason === 'UNBLOCKED');
}

/** Whether a call that failed may have been carried out all the same. */
export function mayBeDone(error: unknown): boolean {
  return error instanceof RedisUnavailableError && error.outcome === 'unknown';
}
