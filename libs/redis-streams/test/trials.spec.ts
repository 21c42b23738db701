import { RedisCommandError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, serversOf, standalone } from '@redstart/redis-testing';
import { releaseScript } from '../src/scripts/release.js';
import { resumeScript } from '../src/scripts/resume.js';
import { trialScript } from '../src/scripts/trial.js';
import {
  defineStream,
  event,
  RedisStreams,
  StreamBatchHandler,
  StreamConsumer,
  type StreamContext,
  type StreamMessage,
} from '../src/index.js';
import { entries, pending } from './support/read-redis.js';
import {
  blockedReaders,
  consumerOf,
  countedStream,
  keyOf,
  killReaders,
  producerOf,
  type Counted,
} from './support/readers.js';
import { closeApp, closeApps, startApp } from './support/start-app.js';

afterEach(closeApps);

const jobs = countedStream('jobs');
const mails = countedStream('mails');
const key = keyOf('jobs');
const letters = `${key}:dlq:billing`;
/** What dead consumers have left is looked for all the time. */
const soon = { claimInterval: 100 } as const;
const patience = { within: 30_000 };

/** A handler that the test ends. */
function heldHandler() {
  const begun: { n: number; deliveries: number; end: () => void }[] = [];
  const handle = ({ n }: Counted, { deliveries, signal }: StreamContext) =>
    new Promise<void>((resolve, reject) => {
      begun.push({ n, deliveries, end: resolve });
      signal.addEventListener('abort', () => {
        reject(new Error('aborted'));
      });
    });
  const last = () => begun.at(-1);
  return { begun, handle, last };
}

describeOn(standalone, cluster)('the trial of a message that may kill its consumers', (redis) => {
  const client = () => redis.client();

  /** Entries that consumers have died of so many times, as Redis counts them. @returns their ids */
  async function suspects(numbers: readonly number[], count = 10, stream = key): Promise<string[]> {
    await client().xgroup('CREATE', stream, 'billing', '0', 'MKSTREAM');
    const ids: string[] = [];
    for (const n of numbers) {
      ids.push((await client().xadd(stream, '*', 't', 'counted', 'd', JSON.stringify({ n }), 'k', `k-${n}`)) ?? '');
    }
    await client().xreadgroup('GROUP', 'billing', 'dead', 'STREAMS', stream, '>');
    const state = ['IDLE', 30_000, 'RETRYCOUNT', count, 'JUSTID'];
    await client().call('xclaim', stream, 'billing', 'dead', 0, ...ids, ...state);
    return ids;
  }

  it('begins one at a time, of all consumers of the process, and beside what is new', async () => {
    await suspects([1, 2]);
    await suspects([3, 4], 10, keyOf('mails'));
    const { begun, handle } = heldHandler();
    let fresh = 0;
    const of = (stream: typeof jobs) =>
      consumerOf(stream, (counted, ctx) => (counted.n < 10 ? handle(counted, ctx) : (fresh += 1)), { concurrency: 2 });
    const app = await startApp({
      connection: redis.connection,
      streams: [jobs, mails],
      consumers: [of(jobs), of(mails)],
      // What waits is given back after a third of that.
      options: { ...soon, minIdle: '30s' },
    });
    for (let tried = 1; tried <= 4; tried += 1) {
      await eventually(() => begun.length === tried);
      for (const stream of [jobs, mails]) await producerOf(app, stream).publish('counted', { n: 10 });
      // Both have a slot left; a second suspect would have begun with these.
      await eventually(() => fresh === 2 * tried);
      expect(begun).toHaveLength(tried);
      // The one that is being tried is known by its count, and by that alone; the last one may not be acknowledged yet.
      await eventually(async () => {
        const rows = [
          ...(await pending(client(), 'billing', key)),
          ...(await pending(client(), 'billing', keyOf('mails'))),
        ];
        expect(rows.filter(({ deliveries }) => deliveries === 1_000_011)).toHaveLength(1);
      });
      begun.at(-1)?.end();
    }
    await eventually(async () => {
      expect(await pending(client(), 'billing', key)).toEqual([]);
      expect(await pending(client(), 'billing', keyOf('mails'))).toEqual([]);
    });
    expect(begun.map(({ n }) => n).toSorted()).toEqual([1, 2, 3, 4]);
    expect(begun.map(({ deliveries }) => deliveries)).toEqual([11, 11, 11, 11]);
    expect(await client().exists(letters)).toBe(0);
  });

  it('keeps nothing that is new from coming, also over a new connection of the reader', async () => {
    await suspects([1, 2]);
    const { begun, handle } = heldHandler();
    let fresh = 0;
    const handler = (counted: Counted, ctx: StreamContext) => (counted.n < 10 ? handle(counted, ctx) : (fresh += 1));
    const app = await startApp({
      connection: redis.connection,
      streams: [jobs],
      consumers: [consumerOf(jobs, handler, { concurrency: 2 })],
      options: { ...soon, minIdle: '30s', drainTimeout: 0 },
    });
    await eventually(async () => {
      const owners = (await pending(client(), 'billing', key)).map(({ consumer }) => consumer);
      expect([begun.length, owners.length, owners.includes('dead')]).toEqual([1, 2, false]);
    }, patience);
    await blockedReaders(serversOf(redis), 1);
    await killReaders(serversOf(redis));
    await producerOf(app, jobs).publish('counted', { n: 10 });
    await eventually(() => fresh === 1, patience);
    expect(begun).toHaveLength(1);
  }, 120_000);

  it('is still due when its message was given back and is taken up again as one that never arrived', async () => {
    const app = await startApp({ connection: redis.connection, streams: [jobs], options: { consumers: false } });
    const { scripts } = app.get(RedisStreams).connection;
    const call = { library: 'redis-streams', operation: 'test', budgetMs: 10_000 };
    await client().xgroup('CREATE', key, 'billing', '0', 'MKSTREAM');
    const id = (await client().xadd(key, '*', 't', 'counted', 'd', '{"n":1}')) ?? '';
    await client().xreadgroup('GROUP', 'billing', 'own', 'STREAMS', key, '>');
    const resumed = async () => {
      const args = ['billing', 'own', 10, 1_000, '+', '', 600_000];
      const { entries } = await scripts.run(call, resumeScript, [key], args);
      return entries.map(({ deliveries }) => deliveries);
    };
    expect([await resumed(), await resumed()]).toEqual([[1], [1]]);
    await scripts.run(call, releaseScript, [key], ['billing', 'own', 600_000, id, 10]);
    expect([await resumed(), await resumed()]).toEqual([[11], [11]]);
  });

  it('is the third one at most', async () => {
    await suspects([1], 2_000_010);
    const { begun, handle, last } = heldHandler();
    const consumers = [consumerOf(jobs, handle)];
    const ending = await startApp({ connection: redis.connection, streams: [jobs], consumers, options: soon });
    await eventually(() => begun.length === 1);
    expect(await pending(client(), 'billing', key)).toMatchObject([{ deliveries: 3_000_011 }]);
    last()?.end();
    await closeApp(ending);
    await redis.flush();

    await suspects([1], 3_000_011);
    await startApp({ connection: redis.connection, streams: [jobs], consumers, options: soon });
    await eventually(async () => {
      expect(await entries(client(), letters)).toMatchObject([{ 'x-reason': 'deliveries', 'x-deliveries': '12' }]);
    });
    expect(begun).toHaveLength(1);
  });

  it('does not count when its process stops in good order', async () => {
    await suspects([1, 2], 1_000_010);
    const { begun, handle } = heldHandler();
    const app = await startApp({
      connection: redis.connection,
      streams: [jobs],
      consumers: [consumerOf(jobs, handle)],
      options: { ...soon, drainTimeout: 0 },
    });
    await eventually(() => begun.length === 1);
    await closeApp(app);
    // Neither of the one that had begun nor of the other, and what had happened before still does.
    expect(await pending(client(), 'billing', key)).toMatchObject([
      { deliveries: 1_000_010 },
      { deliveries: 1_000_010 },
    ]);
  });

  it('makes way for the next one when its message is another consumer’s', async () => {
    const [first = ''] = await suspects([1, 2]);
    const begun: number[] = [];
    const hang = ({ n }: Counted) => {
      begun.push(n);
      return n === 1 ? new Promise(() => undefined) : undefined;
    };
    const options = { ...soon, minIdle: '3s', drainTimeout: 0 } as const;
    await startApp({ connection: redis.connection, streams: [jobs], consumers: [consumerOf(jobs, hang)], options });
    await eventually(() => begun.length === 1);
    await client().xack(key, 'billing', first);
    await eventually(() => begun.length === 2);
    expect(begun).toEqual([1, 2]);
  });

  it('makes way when its handler has ended, though its message keeps its key waiting', async () => {
    const moves = defineStream('moves', { events: { counted: event<Counted>() }, partitions: 1 });
    await suspects([1, 2, 3], 10, keyOf('moves/0'));
    const begun: number[] = [];
    const fail = ({ n }: Counted, ctx: StreamContext) => {
      begun.push(n);
      if (n === 1) ctx.retry({ delay: '10m' });
    };
    const consumers = [consumerOf(moves, fail, { onFailure: 'block-key' })];
    await startApp({ connection: redis.connection, streams: [moves], consumers });
    await eventually(async () => {
      expect(begun).toEqual([1, 2, 3]);
      expect(await pending(client(), 'billing', keyOf('moves/0'))).toMatchObject([{ deliveries: 1_000_011 }]);
    });
  });

  it('is that of a batch of its own', async () => {
    await suspects([1, 2, 3]);
    const batches: number[][] = [];
    let running = 0;
    @StreamConsumer(jobs, { group: 'billing', concurrency: 5 })
    class Billing {
      @StreamBatchHandler('counted', { size: 3, maxWait: '1m' })
      async counted(messages: readonly StreamMessage<Counted>[]) {
        running += 1;
        expect(running).toBe(1);
        batches.push(messages.map(({ payload }) => payload.n));
        await new Promise(setImmediate);
        running -= 1;
      }
    }
    await startApp({ connection: redis.connection, streams: [jobs], consumers: [Billing], options: soon });
    await eventually(async () => {
      expect(await pending(client(), 'billing', key)).toEqual([]);
    });
    expect(batches).toEqual([[1], [2], [3]]);
  });

  it('is noted once, and only by the owner', async () => {
    const [id = ''] = await suspects([1]);
    const app = await startApp({ connection: redis.connection, streams: [jobs] });
    const { connection } = app.get(RedisStreams);
    const note = (consumer: string) =>
      connection.scripts.run(
        { library: 'redis-streams', operation: 'test', budgetMs: 10_000 },
        trialScript,
        [key],
        [...['billing', consumer, id, 1_000_011]],
      );
    expect([await note('other'), await note('dead'), await note('dead')]).toEqual([false, true, true]);
    expect(await pending(client(), 'billing', key)).toMatchObject([{ consumer: 'dead', deliveries: 1_000_011 }]);
    await client().xgroup('DESTROY', key, 'billing');
    await expect(note('dead')).rejects.toThrow(RedisCommandError);
  });
});
