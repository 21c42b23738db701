import { Controller, type LoggerService } from '@nestjs/common';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import {
  cluster,
  describeOn,
  eventually,
  FaultProxy,
  RedisServer,
  serversOf,
  standalone,
} from '@redstart/redis-testing';
import {
  defineStream,
  event,
  getStreamToken,
  RedisStreams,
  StreamConsumer,
  StreamHandler,
  StreamTypeError,
  type StreamProducer,
} from '../src/index.js';
import { RedisStreamsServer } from '../src/transport/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { closeApps, closingApps, compileApp, startApp } from './support/start-app.js';

afterEach(closeApps);

const shipments = defineStream('shipments', { events: { moved: event<number>() }, partitions: 3 });

const seen: number[] = [];

@StreamConsumer(orders, { group: 'billing' })
class Billing {
  @StreamHandler(orders.event('order.created'))
  created({ id }: OrderCreated) {
    seen.push(id);
  }
}

@StreamConsumer(shipments, { group: 'tracking' })
class Tracking {
  @StreamHandler(shipments.event('moved'))
  moved() {
    return undefined;
  }
}

beforeEach(() => {
  seen.length = 0;
});

describeOn(standalone, cluster)('a key of the wrong type at boot', (redis) => {
  const app = { streams: [orders, shipments], consumers: [Billing, Tracking] };

  /** The connections of clients that the servers have. */
  async function connections(): Promise<Set<string>> {
    const lists = await Promise.all(
      serversOf(redis).map((server) => server.ask((client) => client.client('LIST') as Promise<string>)),
    );
    // The one that asks is there for the moment; masters and replicas are connected for ever.
    const rows = lists.join('\n').split('\n');
    const clients = rows.filter((row) => row !== '' && !/ (cmd=client\|list|flags=[MS])/.test(row));
    return new Set(clients.map((row) => / addr=\S+ laddr=\S+/.exec(row)?.[0] ?? row));
  }

  it.each([
    ['a stream', 'shop:stream:{orders}'],
    ['what its group tries again', 'shop:stream:{orders}:retry:billing'],
    ['what its group gave up on', 'shop:stream:{orders}:dlq:billing'],
    ['a partition', 'shop:stream:{shipments/2}'],
    ['what the group tries again of a partition', 'shop:stream:{shipments/1}:retry:tracking'],
  ])('lets no application start that reads it: %s', async (_, key) => {
    await redis.client().hset(key, 'theirs', '1');
    const before = await connections();
    const refused = await startApp({ connection: redis.connection, ...app }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(StreamTypeError);
    expect(refused).toMatchObject({ code: 'STREAM_WRONG_TYPE', key, found: 'hash' });
    expect(String(refused)).toContain(`The key "${key}" holds a hash, no stream`);
    expect(String(refused)).toContain('delete or rename it');
    await eventually(async () => {
      expect([...(await connections())].filter((address) => !before.has(address))).toEqual([]);
    });
    expect(await redis.client().hgetall(key)).toEqual({ theirs: '1' });
  });

  it('lets no application start that publishes to it, and leaves groups alone that are not its own', async () => {
    const client = redis.client();
    await client.set('shop:stream:{orders}:retry:billing', 'theirs');
    const publishing = { ...app, connection: redis.connection, options: { consumers: false } };
    const started = await startApp(publishing);
    await started.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await client.set('shop:stream:{orders}', 'theirs');
    await expect(startApp(publishing)).rejects.toMatchObject({ code: 'STREAM_WRONG_TYPE', found: 'string' });
  });

  it('starts when every key is free or a stream', async () => {
    const client = redis.client();
    for (const key of ['', ':retry:billing', ':dlq:billing']) {
      await client.xadd(`shop:stream:{orders}${key}`, '*', 't', 'order.created', 'd', '{"id":1}', 'o', '1-1', 'a', '0');
    }
    await startApp({ connection: redis.connection, ...app });
    await eventually(() => {
      expect(seen).toContain(1);
    });
  });

  it.each([
    ['its events', 'shop:stream:{orders}'],
    ['its calls', 'shop:stream:{orders.requests}'],
  ])('lets no microservice listen that has it for %s', async (_, key) => {
    @Controller()
    class Served {
      @EventPattern('order.created')
      created(_: unknown) {
        return undefined;
      }
    }
    @Controller()
    class Asked {
      @MessagePattern('price')
      price(_: unknown) {
        return 1;
      }
    }
    const module = await compileApp({ connection: redis.connection, streams: [], controllers: [Served, Asked] });
    const served = module.createNestApplication();
    served.useLogger(false);
    await redis.client().lpush(key, 'theirs');
    const streams = served.get(RedisStreams);
    served.connectMicroservice({ strategy: new RedisStreamsServer({ streams, stream: 'orders', group: 'billing' }) });
    await expect(served.startAllMicroservices()).rejects.toMatchObject({
      code: 'STREAM_WRONG_TYPE',
      key,
      found: 'list',
    });
    await served.close();
  });
});

describe('the check at boot', () => {
  const leftOut = 'The key "shop:stream:{orders}" holds no stream';
  const patience = { within: 20_000 };
  const noting = () => {
    const warnings: string[] = [];
    const log = () => undefined;
    const logger: LoggerService = { log, error: log, warn: (message: unknown) => warnings.push(String(message)) };
    return { warnings, logger };
  };

  it('is none where nobody waits for the connection: the stream is left out, loudly, and read when its key is free', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _ = closingApps();
    const client = server.client();
    await client.set('shop:stream:{orders}', 'theirs');
    const outage = proxy.refuse();
    const { warnings, logger } = noting();
    const lazy = { url: proxy.url, startup: 'lazy' } as const;
    await startApp({ connection: lazy, streams: [orders], consumers: [Billing], options: { block: 100 }, logger });
    // Nobody has waited for the first attempt to connect.
    await eventually(() => outage.injected > 0, patience);
    outage.stop();
    await eventually(() => {
      expect(warnings.join()).toContain(leftOut);
    }, patience);
    await client.del('shop:stream:{orders}');
    await client.xadd('shop:stream:{orders}', '*', 't', 'order.created', 'd', '{"id":7}');
    await eventually(() => {
      expect(seen).toEqual([7]);
    }, patience);
  });

  it('is none without the permission for TYPE, which nothing else needs', async () => {
    await using server = await RedisServer.start();
    await using _ = closingApps();
    const client = server.client();
    await client.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', '-type');
    await client.set('shop:stream:{orders}', 'theirs');
    const connection = { url: server.url.replace('://', '://app:pw@') };
    const { warnings, logger } = noting();
    await startApp({ connection, streams: [orders], consumers: [Billing], logger });
    await eventually(() => {
      expect(warnings.join()).toContain(leftOut);
    }, patience);
  });
});
