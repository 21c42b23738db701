import { jest } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, serversOf, standalone } from '@redstart/redis-testing';
import { defineStream, event, getStreamToken, RedisStreams, type StreamProducer } from '../src/index.js';
import { disownScript, ownScript } from '../src/scripts/partitions.js';
import { consumerOf, readersOf, type Counted } from './support/readers.js';
import { rivalOf } from './support/rival.js';
import { closeApps, startApp } from './support/start-app.js';

afterEach(closeApps);

const moves = defineStream('moves', { events: { counted: event<Counted>() }, partitions: 1 });
const ownerKey = 'shop:stream:{moves/0}:owner:billing';
const membersKey = 'shop:stream:{moves}:members:billing';
const patience = { within: 30_000 };

describeOn(standalone, cluster)('handing a partition over', (redis) => {
  const connectionOf = (app: TestingModule) => app.get<RedisConnection>(getRedisConnectionToken());
  const nudge = async (app: TestingModule) => {
    const { client, subscriber } = connectionOf(app);
    await subscriber.publish(client, membersKey, 'changed');
  };

  /** The owner of the partition, at work in it, and how to let that end. Its lease is longer than any test. */
  async function atWork() {
    const client = redis.client();
    let signal: AbortSignal | undefined;
    let finish: () => void = () => undefined;
    const handle = (_: Counted, ctx: { signal: AbortSignal }) => {
      ({ signal } = ctx);
      return new Promise<void>((resolve) => (finish = resolve));
    };
    const app = await startApp({
      connection: redis.connection,
      streams: [moves],
      consumers: [consumerOf(moves, handle)],
      options: { minIdle: '10m', drainTimeout: '1m' },
    });
    const producer = app.get<StreamProducer<typeof moves>>(getStreamToken(moves));
    await producer.publish('counted', { n: 1 }, { key: 'a' });
    await eventually(() => signal !== undefined, patience);
    const [consumer] = app.get(RedisStreams).consumers;
    return {
      app,
      client,
      consumer,
      isAborted: () => signal?.aborted,
      finish: () => {
        finish();
      },
    };
  }

  /** Somebody else joins, whom the partition should belong to. Resolves when it is being given up: nothing is read any more, and what runs is waited for. */
  async function rivalJoins(app: TestingModule): Promise<void> {
    const client = redis.client();
    const [own = ''] = await client.zrange(membersKey, '0', '-1');
    await client.zadd(membersKey, String(Date.now() + 600_000), rivalOf(own, 0));
    await nudge(app);
    await eventually(async () => {
      expect(await readersOf(serversOf(redis))).toEqual([]);
    }, patience);
  }

  it('takes nothing back on the strength of an answer that is late', async () => {
    const { app, client, consumer, finish } = await atWork();
    const { scripts } = connectionOf(app);
    const run = scripts.run.bind(scripts);
    const answered: (() => void)[] = [];
    let isHeld = false;
    let disowned = 0;
    jest.spyOn(scripts, 'run').mockImplementation(async (...call) => {
      const [, script] = call;
      const answer = await run(...call);
      if (script === disownScript) disowned += 1;
      if (script === ownScript && isHeld) await new Promise<void>((resolve) => answered.push(resolve));
      return answer;
    });
    await rivalJoins(app);
    // Until what runs has ended its lease is renewed.
    isHeld = true;
    await eventually(async () => {
      await nudge(app);
      expect(answered).toHaveLength(1);
    }, patience);
    finish();
    await eventually(() => disowned === 1, patience);
    expect(await client.get(ownerKey)).toBeNull();
    // The next beat is to come at once behind that answer.
    await nudge(app);
    await new Promise((resolve) => setTimeout(resolve, 100));
    isHeld = false;
    for (const answer of answered) answer();
    const calls = jest.spyOn(connectionOf(app), 'call');
    await eventually(async () => {
      await nudge(app);
      const ofBeats = calls.mock.calls.filter(([{ operation }]) => operation === 'streams.partitions');
      expect(ofBeats.length).toBeGreaterThan(5);
    }, patience);
    expect(await client.get(ownerKey)).toBeNull();
    expect(consumer?.parts).toEqual([]);
  });

  it('keeps no lease of what it should have no more, when that was free for a while', async () => {
    const { app, client, isAborted, finish } = await atWork();
    await rivalJoins(app);
    await client.del(ownerKey);
    await nudge(app);
    await eventually(() => isAborted() === true, patience);
    await eventually(async () => {
      expect(await client.get(ownerKey)).toBeNull();
    }, patience);
    finish();
  });
});
