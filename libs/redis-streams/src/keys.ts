import type { KeySpace } from '@redstart/redis-core';

/** Every Redis key of redis-streams. One stream = one hash tag, so every script stays in one slot. */
export interface StreamKeys {
  /** STREAM  the entries and, inside, the groups with their pending entries; lives until retention or deletion. `shop:stream:{orders}` */
  readonly stream: string;
  /** STREAM  the entries that a group gave up on; trimmed to `deadLetters.maxLen`. `shop:stream:{orders}:dlq:billing` */
  deadLetters(group: string): string;
  /** STRING  the entry id of a published message id, PX = `deduplicationWindow`. `shop:stream:{orders}:id:<messageId>` */
  published(messageId: string): string;
}

export function streamKeys(space: KeySpace, stream: string): StreamKeys {
  const at = space.tagged('stream', stream);
  return {
    stream: at(),
    deadLetters: (group) => at(`dlq:${group}`),
    published: (messageId) => at(`id:${messageId}`),
  };
}
