import { load } from './load.mjs';
import { queueVersions } from './versions.mjs';

/** The queue that ours is compared with, under the name and the version that the bars know. */
export const [bullmq] = Object.entries(queueVersions).map(([name, version]) => `${name} ${version}`);

/** Whether `npm run bench:peers` has put it there. */
export async function isInstalled() {
  return load('bullmq').then(
    () => true,
    () => false,
  );
}

/**
 * BullMQ with its defaults, except that finished jobs leave Redis, as they do from our streams' pending lists.
 *
 * @param {string} url
 * @param {{ name: string, concurrency?: number, handle?: (message: unknown) => unknown }} options without `handle` it only publishes
 */
export async function openBullmq(url, { name, concurrency = 64, handle }) {
  const { Queue, Worker } = await load('bullmq');
  const { hostname: host, port } = new URL(url);
  const connection = { host, port: Number(port) };
  const queue = new Queue(name, { connection, defaultJobOptions: { removeOnComplete: true } });
  const worker =
    handle === undefined
      ? undefined
      : new Worker(name, async ({ data }) => handle(data), {
          connection: { ...connection, maxRetriesPerRequest: null },
          concurrency,
        });
  await Promise.all([queue.waitUntilReady(), worker?.waitUntilReady()]);
  return {
    publish: (message) => queue.add('order.placed', message),
    async publishAll(messages) {
      for (let from = 0; from < messages.length; from += 1_000) {
        await queue.addBulk(messages.slice(from, from + 1_000).map((data) => ({ name: 'order.placed', data })));
      }
    },
    /** Removes what is waiting. */
    empty: () => queue.drain(),
    unfinished: () => queue.getJobCountByTypes('active', 'waiting'),
    async close() {
      await worker?.close();
      await queue.close();
    },
  };
}
