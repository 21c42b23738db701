import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { compareWork } from '../lib/compare-work.mjs';
import { bullmq, openBullmq } from '../peers/queues.mjs';
import { Gate } from './gate.mjs';
import { messageOf } from './message.mjs';
import { baseline, ours } from './names.mjs';
import { openRawConsumer, writeBacklog } from './raw.mjs';
import { group, keyOf, openStreams } from './redstart.mjs';

const concurrency = 64;
const backlog = 20_000;
/** So that a slice of it takes no longer than one of the others. */
const backlogOfPeers = 4_000;
const rawKey = 'raw:{consume}';

/** What it takes to work off a backlog. */
export async function consumeBench({ url, counters, rounds, peers }) {
  const redis = new Redis(url);
  const gates = { raw: new Gate(), ours: new Gate(), peer: new Gate() };
  const raw = await openRawConsumer(url, rawKey, () => gates.raw.pass());
  const streams = await openStreams(url, { streams: ['consume'], concurrency, handle: () => gates.ours.pass() });
  const queue = peers
    ? await openBullmq(url, { name: 'consume', concurrency, handle: () => gates.peer.pass() })
    : undefined;
  const messages = (count) => Array.from({ length: count }, (_, number) => messageOf(number));
  const pendingOf = async (key) => (await redis.xpending(key, group))[0];
  const contender = ({ gate, count, write, unfinished }) => ({
    async prepare() {
      gate.shut();
      await write(messages(count));
    },
    /** Until everything is acknowledged. */
    async work() {
      await gate.open(count);
      while ((await unfinished()) > 0) await sleep(0);
      return { count };
    },
  });
  const section = await compareWork({
    counters,
    rounds,
    title: `consume with ack, concurrency ${concurrency}`,
    text: [
      `A backlog of ${backlog.toLocaleString('en')} messages of 200 bytes (BullMQ: ${backlogOfPeers.toLocaleString('en')}), until the last one is acknowledged; the handler does nothing. By hand: XREADGROUP of up to`,
      `${concurrency}, JSON.parse, an XACK each. Ours: an application with one consumer, through Nest's dispatch, with heartbeats and retry accounting.`,
    ].join('\n'),
    contenders: {
      [baseline]: contender({
        gate: gates.raw,
        count: backlog,
        async write(list) {
          await redis.xtrim(rawKey, 'MAXLEN', 0);
          await writeBacklog(redis, rawKey, list);
        },
        unfinished: () => pendingOf(rawKey),
      }),
      [ours]: contender({
        gate: gates.ours,
        count: backlog,
        async write(list) {
          await redis.xtrim(keyOf('consume'), 'MAXLEN', 0);
          for (let from = 0; from < list.length; from += 500) {
            await Promise.all(list.slice(from, from + 500).map((message) => streams.publish(message)));
          }
        },
        unfinished: () => pendingOf(keyOf('consume')),
      }),
      ...(queue && {
        [bullmq]: contender({
          gate: gates.peer,
          count: backlogOfPeers,
          write: (list) => queue.publishAll(list),
          unfinished: () => queue.unfinished(),
        }),
      }),
    },
    bars: [
      { contender: ours, bar: { atLeast: 1.5 } },
      ...(queue ? [{ contender: ours, to: bullmq, bar: { atLeast: 6 } }] : []),
    ],
  });
  await Promise.all([raw.close(), streams.close(), queue?.close()]);
  await redis.flushdb('ASYNC');
  redis.disconnect();
  return section;
}
