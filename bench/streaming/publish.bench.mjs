import { Redis } from 'ioredis';
import { compareWork } from '../lib/compare-work.mjs';
import { runSlice } from '../lib/slice.mjs';
import { bullmq, openBullmq } from '../peers/queues.mjs';
import { messageOf } from './message.mjs';
import { keyOf, openStreams } from './redstart.mjs';
import { baseline, ours } from './names.mjs';

const inFlight = 100;
const ms = 250;
const rawKey = 'raw:{publish}';

/** XADD as one writes it when it must not be added twice: the id of the message decides. */
const onceLua = `
  local earlier = redis.call('GET', KEYS[2])
  if earlier then return earlier end
  local id = redis.call('XADD', KEYS[1], '*', 'd', ARGV[2])
  redis.call('SET', KEYS[2], id, 'PX', ARGV[1])
  return id`;

/** What it takes to publish. */
export async function publishBenches({ url, counters, rounds, publish, peers }) {
  const redis = new Redis(url);
  const streams = await openStreams(url, { streams: ['publish'] });
  const queue = peers ? await openBullmq(url, { name: 'publish' }) : undefined;
  const loops = (operation) => () => runSlice(operation, { concurrency: inFlight, ms });
  const prepare = async () => {
    await redis.del(rawKey, keyOf('publish'));
    await queue?.empty();
  };
  const common = { counters, rounds };
  const each = (works) =>
    Object.fromEntries(Object.entries(works).map(([name, work]) => [name, { prepare, work: slim(work) }]));
  publish(
    await compareWork({
      ...common,
      title: `publish, ${inFlight} in flight`,
      text: [
        `A message of 200 bytes, without deduplication. The pipeline is an explicit one: ${inFlight} XADD put together, sent, and answered. With ours, ${inFlight} callers each await`,
        'a `publish` of their own. `XADD each` is what callers of plain ioredis have who know nothing of each other.',
      ].join('\n'),
      contenders: each({
        [baseline]: () => pipelined(redis),
        'plain ioredis, XADD each': loops((number) => redis.xadd(rawKey, '*', 'd', JSON.stringify(messageOf(number)))),
        [ours]: loops((number) => streams.publish(messageOf(number))),
        ...(queue && { [bullmq]: loops((number) => queue.publish(messageOf(number))) }),
      }),
      bars: [{ contender: ours, bar: { atLeast: 0.9 } }],
    }),
  );
  const sha1 = await redis.script('LOAD', onceLua);
  let id = 0;
  const nextId = () => `m${(id += 1)}`;
  const once = (number) =>
    redis.evalsha(sha1, 2, rawKey, `${rawKey}:${nextId()}`, 600_000, JSON.stringify(messageOf(number)));
  publish(
    await compareWork({
      ...common,
      title: `deduplicated publish, ${inFlight} in flight`,
      text: 'Each message has an id of its own, and none is published twice. By hand: one EVALSHA of GET, XADD and SET PX each.',
      contenders: each({
        'plain ioredis, EVALSHA each': loops(once),
        [ours]: loops((number) => streams.publish(messageOf(number), { messageId: nextId() })),
      }),
      bars: [],
    }),
  );
  await streams.close();
  await queue?.close();
  await redis.flushdb('ASYNC');
  redis.disconnect();
}

async function pipelined(redis) {
  const until = performance.now() + ms;
  let count = 0;
  while (performance.now() < until) {
    const pipeline = redis.pipeline();
    for (let at = 0; at < inFlight; at += 1) {
      count += 1;
      pipeline.xadd(rawKey, '*', 'd', JSON.stringify(messageOf(count)));
    }
    await pipeline.exec();
  }
  return { count };
}

/** The slice measures its processor time itself as well. */
function slim(work) {
  return async () => ({ count: (await work()).count });
}
