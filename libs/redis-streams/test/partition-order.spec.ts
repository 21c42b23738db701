import { once } from 'node:events';
import type { LoggerService } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, serversOf, standalone } from '@redstart/redis-testing';
import {
  defineStream,
  event,
  getStreamToken,
  onStreamTelemetry,
  StreamAdmin,
  StreamConsumer,
  StreamHandler,
  type StreamContext,
  type StreamHandlerOptions,
  type StreamProducer,
  type StreamTelemetryEvent,
} from '../src/index.js';
import { killReaders, readersOf } from './support/readers.js';
import { closeApp, closeApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

interface Moved {
  n: number;
}
const shipments = defineStream('shipments', { events: { moved: event<Moved>() }, partitions: 1 });
const streamKey = 'shop:stream:{shipments/0}';
const ownerKey = `${streamKey}:owner:billing`;
const membersKey = 'shop:stream:{shipments}:members:billing';
const key = 'a';
const patience = { within: 30_000 };

type Behaviour = (payload: Moved, ctx: StreamContext) => unknown;

function consumerOf(behaviour: Behaviour, handler: StreamHandlerOptions) {
  @StreamConsumer(shipments, { group: 'billing' })
  class Billing {
    @StreamHandler(shipments.event('moved'), handler)
    moved(payload: Moved, ctx: StreamContext): unknown {
      return behaviour(payload, ctx);
    }
  }
  return Billing;
}

describeOn(standalone, cluster)('the order of a partition', (redis) => {
  const start = (behaviour: Behaviour, options: AppOptions['options'] = {}, more: Partial<AppOptions> = {}) =>
    startApp({
      connection: redis.connection,
      streams: [shipments],
      consumers: [consumerOf(behaviour, { retry: { backoff: 60_000 } })],
      options: { drainTimeout: '10s', block: '60s', ...options },
      ...more,
    });
  const producerOf = (app: TestingModule) => app.get<StreamProducer<typeof shipments>>(getStreamToken(shipments));
  const publish = async (app: TestingModule, ...numbers: number[]) => {
    for (const n of numbers) await producerOf(app).publish('moved', { n }, { key });
  };
  const fields = (n: number) => ['t', 'moved', 'd', JSON.stringify({ n }), 'i', `m-${n}`, 'k', key];

  /** A blocked reader is served behind a transaction: what is read in it goes to somebody else for sure. */
  const transaction = () => redis.client().multi();
  const readAs = (name: string) => ['GROUP', 'billing', name, 'COUNT', 1, 'STREAMS', streamKey, '>'] as const;

  /** Who has how many entries pending. */
  async function pending(): Promise<Record<string, number>> {
    const [, , , rows] = (await redis.client().xpending(streamKey, 'billing')) as [
      number,
      unknown,
      unknown,
      [string, string][] | null,
    ];
    return Object.fromEntries((rows ?? []).map(([name, count]) => [name, Number(count)]));
  }
  const nothingPending = async () => {
    expect(await pending()).toEqual({});
  };
  const reading = () =>
    eventually(async () => {
      const blocked = await Promise.all(
        serversOf(redis).map((server) =>
          server.ask(async (client) => Number(/^blocked_clients:(\d+)/m.exec(await client.info('clients'))?.[1])),
        ),
      );
      expect(blocked.reduce((sum, one) => sum + one, 0)).toBe(1);
      expect(await redis.client().exists(ownerKey)).toBe(1);
    }, patience);
  async function nudge(app: TestingModule): Promise<void> {
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    await connection.subscriber.publish(connection.client, membersKey, 'changed');
  }

  it('begins nothing before what a late read gave to somebody else', async () => {
    const seen: number[] = [];
    await start(({ n }) => seen.push(n));
    await reading();
    await transaction()
      .xadd(streamKey, '*', ...fields(1))
      .xreadgroup(...readAs('ghost'))
      .xadd(streamKey, '*', ...fields(2))
      .xadd(streamKey, '*', ...fields(3))
      .exec();
    await eventually(() => {
      expect(seen).toEqual([1, 2, 3]);
    }, patience);
    await eventually(nothingPending, patience);
  }, 60_000);

  it('takes up with the next beat what a late read took, when nothing comes behind it', async () => {
    const seen: number[] = [];
    const app = await start(({ n }) => seen.push(n));
    await reading();
    const replies = await transaction()
      .xadd(streamKey, '*', ...fields(1))
      .xreadgroup(...readAs('ghost'))
      .exec();
    // Not asked of Redis afterwards: a beat may have come by then.
    expect(replies?.[1]).toEqual([null, [[streamKey, [[expect.any(String), fields(1)]]]]]);
    await nudge(app);
    await eventually(() => {
      expect(seen).toEqual([1]);
    }, patience);
    await eventually(nothingPending, patience);
    await reading();
    await publish(app, 2);
    await eventually(() => {
      expect(seen).toEqual([1, 2]);
    }, patience);
  }, 60_000);

  it('begins nothing before what a late read of its own broken connection brought', async () => {
    const seen: number[] = [];
    const app = await start(({ n }) => seen.push(n));
    await reading();
    await publish(app, 1);
    await eventually(nothingPending, patience);
    const [before = ''] = await readersOf(serversOf(redis));
    await killReaders(serversOf(redis));
    await eventually(async () => {
      const [after = before] = await readersOf(serversOf(redis));
      expect(after).not.toBe(before);
    }, patience);
    await reading();
    const [consumer] = (await redis.client().xinfo('CONSUMERS', streamKey, 'billing')) as [[string, string]];
    await transaction()
      .xadd(streamKey, '*', ...fields(2))
      .xreadgroup(...readAs(consumer[1]))
      .xadd(streamKey, '*', ...fields(3))
      .exec();
    await eventually(() => {
      expect(seen).toEqual([1, 2, 3]);
    }, patience);
    await eventually(nothingPending, patience);
  }, 60_000);

  it('begins nothing of what a read brings when the partition is another’s by then', async () => {
    const seen: number[] = [];
    const warnings: string[] = [];
    const app = await start(({ n }) => seen.push(n), {}, { logger: noting(warnings) });
    await reading();
    await transaction()
      .set(ownerKey, 'thief')
      .xadd(streamKey, '*', ...fields(1))
      .exec();
    // Looked at before the handler would have begun.
    await eventually(() => {
      expect(warnings.join()).toMatch(/was lost/);
    }, patience);
    expect(seen).toEqual([]);
    expect(Object.values(await pending())).toEqual([1]);
    await transaction().del(ownerKey).exec();
    await nudge(app);
    await eventually(() => {
      expect(seen).toEqual([1]);
    }, patience);
    await eventually(nothingPending, patience);
  }, 60_000);

  it('begins anew when another one may have had its partition meanwhile', async () => {
    const seen: number[] = [];
    let stopped = 0;
    const app = await start(async ({ n }, { signal }) => {
      seen.push(n);
      if (n === 1 && seen.length === 1) {
        await once(signal, 'abort');
        stopped += 1;
        signal.throwIfAborted();
      }
    });
    await reading();
    await publish(app, 1, 2, 3);
    await eventually(async () => {
      expect(seen).toEqual([1]);
      expect(Object.values(await pending())).toEqual([3]);
    }, patience);
    const [, second] = await redis.client().xrange(streamKey, '-', '+');
    // Somebody else had it, handled one message that waits here, and gave it up.
    await transaction()
      .xack(streamKey, 'billing', second?.[0] ?? '')
      .del(ownerKey)
      .exec();
    await nudge(app);
    await eventually(() => {
      expect(seen).toEqual([1, 1, 3]);
    }, patience);
    expect(stopped).toBe(1);
    await eventually(nothingPending, patience);
  }, 60_000);

  it('hands a message that fails at shutdown to the next owner, in front of those behind it', async () => {
    const fail: ((error: Error) => void)[] = [];
    const first = await start(() => new Promise((_resolve, reject) => fail.push(reject)));
    await reading();
    await publish(first, 1, 2);
    await eventually(async () => {
      expect(fail).toHaveLength(1);
      expect(Object.values(await pending())).toEqual([2]);
    }, patience);
    const closed = closeApp(first);
    await eventually(async () => {
      expect(await readersOf(serversOf(redis))).toEqual([]);
    }, patience);
    for (const reject of fail) reject(new Error('not now'));
    await closed;
    const seen: number[] = [];
    await start(({ n }) => seen.push(n));
    await eventually(() => {
      expect(seen).toEqual([1, 2]);
    }, patience);
  }, 60_000);

  it('takes up nothing while the group is paused, also after a restart', async () => {
    const first = await start(() => new Promise<void>(() => undefined), { drainTimeout: 0 });
    await reading();
    await publish(first, 1, 2);
    await eventually(async () => {
      expect(Object.values(await pending())).toEqual([2]);
    }, patience);
    await first.get(StreamAdmin).pause(shipments, 'billing');
    await closeApp(first);
    const left = await pending();
    const seen: number[] = [];
    const second = await start(({ n }) => seen.push(n));
    await eventually(async () => {
      // As if the first one's lease had ended: its handler never does.
      const client = redis.client();
      const owner = await client.get(ownerKey);
      const [alive = ''] = await client.zrange(membersKey, '0', '-1');
      if (owner !== alive) await client.del(ownerKey);
      await nudge(second);
      expect(owner).toBe(alive);
    }, patience);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(seen).toEqual([]);
    // Not so much as taken over.
    expect(await pending()).toEqual(left);
    await second.get(StreamAdmin).resume(shipments, 'billing');
    await eventually(() => {
      expect(seen).toEqual([1, 2]);
    }, patience);
  }, 60_000);
});

describeOn(standalone)('many messages of a key', (redis) => {
  it('tells when too many messages stand behind one key', async () => {
    const warnings: string[] = [];
    const told: StreamTelemetryEvent[] = [];
    const silence = onStreamTelemetry((happening) => {
      if (happening.event === 'set-aside') told.push(happening);
    });
    const publisher = await startApp({ connection: redis.connection, streams: [shipments] });
    for (let from = 0; from < 10_500; from += 500) {
      const batch = Array.from({ length: 500 }, (_, n) => ({ type: 'moved' as const, payload: { n: from + n }, key }));
      await publisher.get<StreamProducer<typeof shipments>>(getStreamToken(shipments)).publishBatch(batch);
    }
    const failing = () => {
      throw new Error('never');
    };
    await startApp({
      connection: redis.connection,
      streams: [shipments],
      consumers: [consumerOf(failing, { retry: { backoff: 60_000 } })],
      options: { drainTimeout: 0, minIdle: '6s' },
      logger: noting(warnings),
    });
    await eventually(() => {
      expect(told.length).toBeGreaterThan(0);
      expect(warnings.join()).toMatch(/wait behind others of their key/);
    }, patience);
    silence();
    expect(told[0]).toMatchObject({ stream: 'shipments', group: 'billing', event: 'set-aside' });
  }, 90_000);
});

function noting(warnings: string[]): LoggerService {
  const note = (message: unknown) => {
    warnings.push(String(message));
  };
  return { log: () => undefined, warn: note, error: note };
}
