import { eventually, RedisServer } from '@redstart/redis-testing';
import { StreamAdmin, type StreamContext } from '../src/index.js';
import { consumerOf, countedStream, keyOf, producerOf, type Counted } from './support/readers.js';
import { closeApps, startApp } from './support/start-app.js';

afterEach(closeApps);

const generous = { within: 30_000 };
const [given, refused] = [countedStream('given'), countedStream('refused')];
const [givenKey, refusedKey] = [keyOf('given'), keyOf('refused')];

describe('keys that the account is not given', () => {
  it('stop neither retries, delayed messages, pauses nor take-overs of the other streams, and are named', async () => {
    await using server = await RedisServer.start();
    const client = server.client();
    // Its stream, and nothing around it.
    const keys = [`~${givenKey}*`, `~${refusedKey}`];
    await client.call('ACL', 'SETUSER', 'app', 'on', '>pw', '+@all', 'allchannels', 'resetkeys', ...keys);
    // What a dead consumer has left, long ago.
    await client.xgroup('CREATE', givenKey, 'billing', '0', 'MKSTREAM');
    const left = (await client.xadd(givenKey, '*', 't', 'counted', 'd', '{"n":1}')) ?? '';
    await client.xreadgroup('GROUP', 'billing', 'dead', 'COUNT', 1, 'STREAMS', givenKey, '>');
    await client.call('XCLAIM', givenKey, 'billing', 'dead', '0', left, 'IDLE', '3600000');

    const handled: string[] = [];
    const handle = ({ n }: Counted, { attempt }: StreamContext) => {
      handled.push(`${n}/${attempt}`);
      if (n === 2 && attempt === 1) throw new Error('once');
    };
    const logged: string[] = [];
    const note = (message: unknown) => void logged.push(String(message));
    const app = await startApp({
      connection: { url: server.url.replace('redis://', 'redis://app:pw@') },
      streams: [refused, given],
      consumers: [consumerOf(refused, handle), consumerOf(given, handle)],
      logger: { log: () => undefined, warn: note, error: note },
    });
    const [producer, admin] = [producerOf(app, given), app.get(StreamAdmin)];
    await producer.publish('counted', { n: 2 });
    await producer.publish('counted', { n: 3 }, { delay: 1 });
    await eventually(() => {
      expect([...new Set(handled)].sort()).toEqual(['1/1', '2/1', '2/2', '3/1']);
    }, generous);

    // As where no message of Pub/Sub arrives: only a look can tell.
    await client.set(`${givenKey}:paused:billing`, '1');
    await eventually(async () => {
      await producer.publish('counted', { n: 4 });
      // More than a consumer that goes on would ever leave.
      return (await admin.lag(given, 'billing')) >= 20;
    }, generous);
    await admin.resume(given, 'billing');
    await eventually(async () => (await admin.lag(given, 'billing')) === 0, generous);

    await eventually(async () => (await admin.pending(given, 'billing')).total === 0, generous);

    for (const doing of ['Delayed messages of', 'asking whether the group is paused', 'looking for entries of dead']) {
      expect(logged).toContainEqual(
        expect.stringMatching(new RegExp(`${doing}.*${refusedKey}|${refusedKey}.*${doing}`)),
      );
      expect(logged.filter((line) => line.includes(doing) && !line.includes(refusedKey))).toEqual([]);
    }
  }, 90_000);
});
