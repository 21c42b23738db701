import { Redis } from 'ioredis';

export const group = 'bench';

/**
 * Reading a stream as one writes it by hand: up to 64 entries at a time, each of them parsed, handled and acknowledged by an XACK of its own, and the next read when all of them are.
 *
 * @param {(message: unknown) => unknown} handle
 */
export async function openRawConsumer(url, key, handle) {
  const [redis, blocking] = [new Redis(url), new Redis(url)];
  await redis.xgroup('CREATE', key, group, '0', 'MKSTREAM');
  const consumeOne = async ([id, fields]) => {
    await handle(JSON.parse(fields[1]));
    await redis.xack(key, group, id);
  };
  const read = async () => {
    for (;;) {
      const reply = await blocking.xreadgroup(
        ...['GROUP', group, 'c1', 'COUNT', 64, 'BLOCK', 5_000, 'STREAMS', key, '>'],
      );
      if (reply !== null) await Promise.all(reply[0][1].map(consumeOne));
    }
  };
  read().catch((error) => {
    if (blocking.status !== 'end') throw error;
  });
  return {
    async close() {
      blocking.disconnect();
      redis.disconnect();
    },
  };
}

/** Writes a backlog, a thousand entries to a pipeline. */
export async function writeBacklog(redis, key, messages) {
  for (let from = 0; from < messages.length; from += 1_000) {
    const pipeline = redis.pipeline();
    for (const message of messages.slice(from, from + 1_000)) pipeline.xadd(key, '*', 'd', JSON.stringify(message));
    await pipeline.exec();
  }
}
