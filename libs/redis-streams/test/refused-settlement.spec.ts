import type { TestingModule } from '@nestjs/testing';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import {
  cluster,
  describeOn,
  eventually,
  RedisServer,
  standalone,
  type TopologyConnection,
} from '@redstart/redis-testing';
import {
  defineStream,
  event,
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  UnrecoverableError,
  type StreamConsumerOptions,
  type StreamProducer,
} from '../src/index.js';
import { pending } from './support/read-redis.js';
import { rivalOf } from './support/rival.js';
import { closeApp, closeApps, closingApps, startApp } from './support/start-app.js';

afterEach(closeApps);

interface Moved {
  n: number;
}
const moves = defineStream('moves', { events: { moved: event<Moved>() }, partitions: 1 });
const streamKey = 'shop:stream:{moves/0}';
const deadLetters = `${streamKey}:dlq:billing`;
const due = `${streamKey}:retry:billing:due`;
const ownerKey = `${streamKey}:owner:billing`;
const membersKey = 'shop:stream:{moves}:members:billing';
const patience = { within: 30_000 };

async function start(
  connection: TopologyConnection,
  handle: (n: number) => void,
  onFailure: StreamConsumerOptions['onFailure'] = 'block-key',
) {
  const begun: number[] = [];
  const warnings: string[] = [];
  const note = (message: unknown) => warnings.push(String(message));
  @StreamConsumer(moves, { group: 'billing', onFailure })
  class Billing {
    @StreamHandler(moves.event('moved'), { retry: { backoff: 1 } })
    moved({ n }: Moved) {
      begun.push(n);
      handle(n);
    }
  }
  const app = await startApp({
    connection,
    streams: [moves],
    consumers: [Billing],
    logger: { log: () => undefined, warn: note, error: note },
    // No specification is to be saved by the end of a lease, or by that of the time to drain.
    options: { minIdle: '10m', drainTimeout: '10m' },
  });
  return { app, begun, warnings };
}

async function publish(app: TestingModule, key: string, ...numbers: number[]): Promise<void> {
  const producer = app.get<StreamProducer<typeof moves>>(getStreamToken(moves));
  for (const n of numbers) await producer.publish('moved', { n }, { key });
}

/** A message of another key goes through: what could have begun wrongly before it has. */
async function another({ app, begun }: Awaited<ReturnType<typeof start>>, n: number): Promise<void> {
  await publish(app, 'b', n);
  await eventually(() => {
    expect(begun).toContain(n);
  }, patience);
}

describeOn(standalone, cluster)('a message that Redis does not let be settled', (redis) => {
  /** 1, 2 and 3 of one key: the first one fails, and its dead letter is refused. */
  async function stuck() {
    const client = redis.client();
    let broken = true;
    const started = await start(redis.connection, (n) => {
      if (n === 1 && broken) throw new UnrecoverableError('never');
    });
    await client.set(deadLetters, 'foreign');
    await publish(started.app, 'a', 1, 2, 3);
    await eventually(() => {
      expect(started.warnings.join()).toMatch(/WRONGTYPE.*while settling the entry/);
    }, patience);
    await another(started, 4);
    expect(started.begun).toEqual([1, 4]);
    const repair = async () => {
      broken = false;
      await client.del(deadLetters);
    };
    return { client, repair, ...started };
  }

  it('keeps those of its key from beginning until its dead letter is taken, and no others', async () => {
    const { begun, client, repair } = await stuck();
    await repair();
    await eventually(async () => {
      expect(begun).toEqual([1, 4, 2, 3]);
      expect(await pending(client, 'billing', streamKey)).toEqual([]);
    }, patience);
    expect(await client.xlen(deadLetters)).toBe(1);
  }, 90_000);

  it('does the same while its retry is refused', async () => {
    const client = redis.client();
    let failures = 0;
    const fail = (n: number) => {
      if (n === 1 && (failures += 1) === 1) throw new Error('not yet');
    };
    const started = await start(redis.connection, fail, 'skip');
    await client.set(due, 'foreign');
    await publish(started.app, 'a', 1, 2);
    await eventually(() => {
      expect(started.warnings.join()).toMatch(/WRONGTYPE.*while settling the entry/);
    }, patience);
    await another(started, 3);
    expect(started.begun).toEqual([1, 3]);
    await client.del(due);
    await eventually(async () => {
      expect(started.begun.toSorted()).toEqual([1, 1, 2, 3]);
      expect(await pending(client, 'billing', streamKey)).toEqual([]);
    }, patience);
  }, 90_000);

  it('is let go by who closes, and goes to the next owner in its place', async () => {
    const { app, begun, repair } = await stuck();
    await closeApp(app);
    expect(begun).toEqual([1, 4]);
    await repair();
    const next = await start(redis.connection, () => undefined);
    await eventually(() => {
      expect(next.begun).toEqual([1, 2, 3]);
    }, patience);
  }, 90_000);

  it('is let go with its partition when that goes to another member', async () => {
    const { app, begun, client } = await stuck();
    const [own = ''] = await client.zrange(membersKey, '0', '-1');
    const [ownScore = ''] = await client.zrange(membersKey, '0', '0', 'WITHSCORES').then(([, score]) => [score]);
    await client.zadd(membersKey, ownScore, rivalOf(own, 0));
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    await connection.subscriber.publish(connection.client, membersKey, 'changed');
    await eventually(async () => {
      expect(await client.exists(ownerKey)).toBe(0);
    }, patience);
    expect(begun).toEqual([1, 4]);
    expect(await pending(client, 'billing', streamKey)).toHaveLength(3);
  }, 90_000);
});

describe('a message whose acknowledgement Redis refuses', () => {
  /** 1 and 2 of one key: the first one has been handled, and its acknowledgement is refused. */
  async function refused(server: RedisServer) {
    const client = server.client();
    await client.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', '-xack');
    const url = server.url.replace('redis://', 'redis://app:pw@');
    const started = await start({ url }, () => undefined);
    await publish(started.app, 'a', 1, 2);
    await eventually(() => {
      expect(started.warnings.join()).toMatch(/NOPERM.*while acknowledging/);
    }, patience);
    return { client, started };
  }

  it('keeps those of its key from beginning until it is taken, and is handled once', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const { client, started } = await refused(server);
    await another(started, 3);
    expect(started.begun).toEqual([1, 3]);
    await client.call('ACL', 'SETUSER', 'app', '+xack');
    await eventually(async () => {
      expect(started.begun).toEqual([1, 3, 2]);
      expect(await pending(client, 'billing', streamKey)).toEqual([]);
    }, patience);
  }, 90_000);

  it('is let go by who closes', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const { started } = await refused(server);
    await closeApp(started.app);
    expect(started.begun).toEqual([1]);
  }, 90_000);
});

describe('an account that may not carry out one of the commands', () => {
  it.each([
    ['a dead letter', 'xadd', new UnrecoverableError('never'), deadLetters],
    ['a retry', 'hset', new Error('not yet'), `${streamKey}:retry:billing`],
  ])(
    'of %s loses no message by that',
    async (_what, command, failure, destination) => {
      await using server = await RedisServer.start();
      await using _apps = closingApps();
      const client = server.client();
      await client.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', `-${command}`);
      const url = server.url.replace('redis://', 'redis://app:pw@');
      let broken = true;
      const fail = () => {
        if (broken) throw failure;
      };
      const { begun, warnings } = await start({ url }, fail, 'skip');
      await client.xadd(streamKey, '*', 't', 'moved', 'd', '{"n":1}', 'k', 'a');
      await eventually(() => {
        expect(warnings.join()).toMatch(/while settling the entry/);
      }, patience);
      expect(await pending(client, 'billing', streamKey)).toHaveLength(1);
      broken = false;
      await client.call('ACL', 'SETUSER', 'app', `+${command}`);
      await eventually(async () => {
        expect(await pending(client, 'billing', streamKey)).toEqual([]);
        expect(begun.length + (await client.xlen(destination))).toBe(2);
      }, patience);
    },
    90_000,
  );

  it('writes no dead letter for want of XACK, however often it is tried', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const client = server.client();
    await client.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', '-xack');
    const url = server.url.replace('redis://', 'redis://app:pw@');
    const { warnings } = await start({ url }, () => {
      throw new UnrecoverableError('never');
    });
    await client.xadd(streamKey, '*', 't', 'moved', 'd', '{"n":1}', 'k', 'a');
    await eventually(() => {
      expect(warnings.join()).toMatch(/while settling the entry/);
    }, patience);
    expect(await client.exists(deadLetters)).toBe(0);
    await client.call('ACL', 'SETUSER', 'app', '+xack');
    await eventually(async () => {
      expect(await pending(client, 'billing', streamKey)).toEqual([]);
    }, patience);
    expect(await client.xlen(deadLetters)).toBe(1);
  }, 90_000);
});
