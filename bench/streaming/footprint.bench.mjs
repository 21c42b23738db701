import { Redis } from 'ioredis';
import { messageOf } from './message.mjs';
import { writeBacklog } from './raw.mjs';
import { group, keyOf, openStreams } from './redstart.mjs';

const messages = 10_000;
const calls = 64;

/** What a message takes in Redis, and on the wire. */
export async function footprintBench({ url, counters }) {
  const redis = new Redis(url);
  const streams = await openStreams(url, { streams: ['plain', 'once'] });
  const list = Array.from({ length: messages }, (_, number) => messageOf(number));
  const payload = Math.round(list.reduce((sum, message) => sum + JSON.stringify(message).length, 0) / messages);
  const inTicks = async (publish) => {
    for (let from = 0; from < messages; from += 500) await Promise.all(list.slice(from, from + 500).map(publish));
  };
  let id = 0;
  const ways = {
    'by hand, one field': (message) => redis.xadd('raw:{plain}', '*', 'd', JSON.stringify(message)),
    publish: (message) => streams.publish(message),
    'publish with messageId': (message) => streams.publish(message, { messageId: `order:${(id += 1)}` }, 1),
  };
  // The first one of a kind brings the text of its script.
  for (const publish of Object.values(ways)) await publish(messageOf(0));
  const wire = [];
  for (const [way, publish] of Object.entries(ways)) {
    const alone = async () => {
      for (let at = 0; at < calls; at += 1) await publish(messageOf(at));
    };
    const together = () => Promise.all(Array.from({ length: calls }, (_, at) => publish(messageOf(at))));
    wire.push({
      way,
      'bytes alone, out / in': describe(await counters.bytesOf(alone)),
      [`bytes, ${calls} in a tick`]: describe(await counters.bytesOf(together)),
      'commands alone': (await commandsOf(alone, counters)).toFixed(2),
      [`commands, ${calls} in a tick`]: (await commandsOf(together, counters)).toFixed(2),
    });
  }
  await redis.flushdb();
  const perMessage = async (work) => `${Math.round((await grownBy(redis, work)) / messages)} B`;
  const plain = keyOf('plain');
  const memory = [
    { what: 'the payload itself, as JSON', memory: `${payload} B` },
    { what: 'XADD by hand, one field', memory: await perMessage(() => writeBacklog(redis, 'raw:{plain}', list)) },
    { what: 'publish', memory: await perMessage(() => inTicks(ways.publish)) },
    {
      what: 'publish with messageId, for deduplicationWindow',
      memory: await perMessage(() => inTicks(ways['publish with messageId'])),
    },
    {
      what: 'besides, while it is pending',
      memory: await perMessage(async () => {
        await redis.xgroup('CREATE', plain, group, '0');
        await redis.xreadgroup('GROUP', group, 'c1', 'COUNT', messages, 'STREAMS', plain, '>');
      }),
    },
  ];
  await streams.close();
  await redis.flushdb('ASYNC');
  redis.disconnect();
  return {
    title: 'Memory, commands and bytes of a message',
    text: `Memory is what Redis has grown by (used_memory) for ${messages.toLocaleString('en')} messages, for each of them. Bytes and commands for one publication, alone and as one of ${calls} of a tick.`,
    tables: [memory, wire],
    verdicts: [],
  };
}

async function grownBy(redis, work) {
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
  const before = await used();
  await work();
  return (await used()) - before;
}

async function commandsOf(work, counters) {
  const { sent } = await counters.commandsOf(work);
  return [...sent.values()].reduce((sum, times) => sum + times, 0) / calls;
}

function describe({ toServer, fromServer }) {
  return `${Math.round(toServer / calls)} / ${Math.round(fromServer / calls)}`;
}
