import { RedisCommandError, type RedisCall, type RedisConnection } from '@redstart/redis-core';
import type { StreamKeys } from '../keys.js';
import type { ResolvedStreamsOptions } from '../streams.options.js';
import type { ConsumerMetadata } from '../decorators/stream-consumer.js';

/** Everything that the agents of one consumer need to know: which group they work for, and under which name. */
export interface GroupMember {
  readonly connection: RedisConnection;
  readonly options: ResolvedStreamsOptions;
  readonly keys: StreamKeys;
  readonly consumer: ConsumerMetadata;
  /** The consumer's name within its group. Unique in the world: two of one name would see each other's entries as their own. */
  readonly name: string;
}

/** How a command of the background work is described. */
export function backgroundCall({ options }: GroupMember, operation: string): RedisCall {
  return { library: 'redis-streams', operation: `streams.${operation}`, budgetMs: options.commandTimeoutMs };
}

/**
 * Creates the group, and the stream with it, if it is not there.
 *
 * @param from where a new group begins
 * @see  one XGROUP CREATE with MKSTREAM
 */
export async function ensureGroup(member: GroupMember, from: 'start' | 'new'): Promise<void> {
  const { connection, keys, consumer } = member;
  try {
    await connection.call(backgroundCall(member, 'ensureGroup'), (client) =>
      client.xgroup('CREATE', keys.stream, consumer.group, from === 'new' ? '$' : '0', 'MKSTREAM'),
    );
  } catch (error) {
    if (!(error instanceof RedisCommandError && error.reason === 'BUSYGROUP')) throw error;
  }
}

/** Whether an answer says that the group, or its stream, is gone. */
export function isGroupGone(error: unknown): boolean {
  return error instanceof RedisCommandError && (error.reason === 'NOGROUP' || error.reason === 'UNBLOCKED');
}
