import type { KeySpace } from '@redstart/redis-core';

/** Every Redis key of redis-streams. One stream, or one partition of a stream = one hash tag, so every script stays in one slot. */
export interface StreamKeys {
  /** STREAM  the entries and, inside, the groups with their pending entries; lives until retention or deletion. `shop:stream:{orders}` */
  readonly stream: string;
  /** STREAM  the entries that a group gave up on; trimmed to `deadLetters.maxLen`. `shop:stream:{orders}:dlq:billing` */
  deadLetters(group: string): string;
  /** STREAM  what a group tries again, apart from the other groups; lives as long as its group. `shop:stream:{orders}:retry:billing` */
  retry(group: string): string;
  /** STRING  there while the group is paused, without TTL: it lives until the group resumes; also the channel that tells of both. `shop:stream:{orders}:paused:billing` */
  paused(group: string): string;
  /** ZSET  members of a group that shares partitions -> alive until (ms of the server's clock), PX = two leases; also the channel that tells of changes. `shop:stream:{orders}:members:billing` */
  members(group: string): string;
  /** STRING  the member that owns the partition, PX = its lease. `shop:stream:{orders/3}:owner:billing` */
  owner(group: string): string;
  /**
   * STRING  `p:<token>` while the group handles the message, PX = `minIdle`; `d:<token>` when it has, PX = `ttl` of the handler.
   * `shop:stream:{orders}:inbox:billing:<messageId>`
   */
  inbox(group: string, messageId: string): string;
  /** STRING  the entry id of a published message id, PX = `deduplicationWindow`. `shop:stream:{orders}:id:<messageId>` */
  published(messageId: string): string;
  /** STRING  there while a process trims the stream, and until the next turn; PX = most of `retentionInterval`. `shop:stream:{orders}:keeper` */
  readonly keeper: string;
}

/** The keys of each partition, `shop:stream:{orders/0}` and so on; of a stream without partitions its only ones, `shop:stream:{orders}`. */
export function partitionKeys(
  space: KeySpace,
  { name, partitions }: { name: string; partitions: number | undefined },
): [StreamKeys, ...StreamKeys[]] {
  if (partitions === undefined) return [streamKeys(space, name)];
  const further = Array.from({ length: partitions - 1 }, (_, before) => streamKeys(space, `${name}/${before + 1}`));
  return [streamKeys(space, `${name}/0`), ...further];
}

/** @param stream the name of a stream, or `name/partition` */
export function streamKeys(space: KeySpace, stream: string): StreamKeys {
  const at = space.tagged('stream', stream);
  return {
    stream: at(),
    deadLetters: (group) => at(`dlq:${part(group)}`),
    retry: (group) => at(`retry:${part(group)}`),
    paused: (group) => at(`paused:${part(group)}`),
    members: (group) => at(`members:${part(group)}`),
    owner: (group) => at(`owner:${part(group)}`),
    inbox: (group, messageId) => at(`inbox:${part(group)}:${messageId}`),
    published: (messageId) => at(`id:${messageId}`),
    keeper: at('keeper'),
  };
}

/** A group as one part of a key: `g:due` must not be what belongs to `g`. */
function part(group: string): string {
  return group.replace(/[%:]/g, encodeURIComponent);
}

/** The delay queue of one stream, whose key is `target`: in its slot, since the target's hash tag is the first of all three. */
export interface DelayKeys {
  /** STREAM  where messages are moved to when they are due. `shop:stream:{orders}`, or a stream of retries */
  readonly target: string;
  /** ZSET  schedule id -> due time, ms of the server's clock; no TTL: a member leaves when it is moved or cancelled. `shop:stream:{orders}:due` */
  readonly due: string;
  /** HASH  schedule id -> the fields of its entry, a MessagePack array; no TTL, as `due`. `shop:stream:{orders}:delayed` */
  readonly delayed: string;
}

export function delayKeys(target: string): DelayKeys {
  return { target, due: `${target}:due`, delayed: `${target}:delayed` };
}

/** The keys of one client of the microservice transport, in one slot. */
export interface ReplyKeys {
  /** STREAM  its replies, PX = a minute from the first one on, and from whenever the client is waiting. `shop:stream-reply:{<client>}` */
  readonly replies: string;
  /** STRING  there when the client has unsubscribed from a call before its end, or got no further reply in time, PX = a minute, or the call's timeout if that is longer. `shop:stream-reply:{<client>}:abandoned:<call>` */
  abandoned(call: string): string;
}

export function replyKeys(space: KeySpace, client: string): ReplyKeys {
  const at = space.tagged('stream-reply', client);
  return { replies: at(), abandoned: (call) => at(`abandoned:${call}`) };
}
