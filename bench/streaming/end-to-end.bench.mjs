import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { compareWork } from '../lib/compare-work.mjs';
import { median, quantile } from '../lib/statistics.mjs';
import { bullmq, openBullmq } from '../peers/queues.mjs';
import { messageOf } from './message.mjs';
import { baseline, ours } from './names.mjs';
import { openRawConsumer } from './raw.mjs';
import { openStreams } from './redstart.mjs';

const perSecond = 1_000;
const count = 1_200;
const rawKey = 'raw:{end-to-end}';

/** From the call of publish to the handler, at a steady pace. */
export async function endToEndBench({ url, counters, rounds, peers }) {
  const redis = new Redis(url);
  const raw = new Flow();
  const rawConsumer = await openRawConsumer(url, rawKey, (message) => raw.arrive(message));
  raw.publish = (message) => redis.xadd(rawKey, '*', 'd', JSON.stringify(message));
  const our = new Flow();
  const streams = await openStreams(url, { streams: ['end-to-end'], handle: (message) => our.arrive(message) });
  our.publish = (message) => streams.publish(message);
  const peer = new Flow();
  const queue = peers
    ? await openBullmq(url, { name: 'end-to-end', handle: (message) => peer.arrive(message) })
    : undefined;
  peer.publish = (message) => queue.publish(message);
  const section = await compareWork({
    counters,
    rounds,
    title: `end to end at ${perSecond} messages a second`,
    text: 'The time from the call of publish to the beginning of the handler, publisher and consumer in one process. The ratio is that of the median; costs are per message, both sides together.',
    figure: 'p50',
    contenders: {
      [baseline]: { work: () => raw.run() },
      [ours]: { work: () => our.run() },
      ...(queue && { [bullmq]: { work: () => peer.run() } }),
    },
    columns: ({ p50, p99 }) => ({ 'p50 / p99': `${p50.toFixed(2)} / ${p99.toFixed(2)} ms` }),
    bars: [{ contender: ours, bar: { atMost: 1.5 } }],
  });
  await Promise.all([rawConsumer.close(), streams.close(), queue?.close()]);
  await redis.flushdb('ASYNC');
  redis.disconnect();
  return section;
}

/** Messages that leave at a steady pace, whatever becomes of those before, and the times that they took. */
class Flow {
  publish;
  #times = [];
  #arrived = () => undefined;

  arrive({ sentAt }) {
    this.#times.push(performance.now() - sentAt);
    if (this.#times.length === count) this.#arrived();
  }

  async run() {
    this.#times = [];
    const all = new Promise((resolve) => {
      this.#arrived = resolve;
    });
    const publications = [];
    const startedAt = performance.now();
    for (let number = 0; number < count;) {
      const due = Math.min(count, Math.floor(((performance.now() - startedAt) * perSecond) / 1_000));
      for (; number < due; number += 1) {
        publications.push(this.publish({ ...messageOf(number), sentAt: performance.now() }));
      }
      await sleep(1);
    }
    await Promise.all(publications);
    await all;
    return { count, p50: median(this.#times), p99: quantile(this.#times, 0.99) };
  }
}
