/** A process that consumes or publishes as its parent orders: what an instance of a service would be. */
import 'reflect-metadata';
import { Logger, Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { RedisModule } from '@redstart/redis-core';
import { obey } from '@redstart/redis-testing/programs';
import { getStreamToken, RedisStreams, RedisStreamsModule, type StreamProducer } from '../../../src/index.js';
import { RedisStreamsClient, RedisStreamsServer } from '../../../src/transport/index.js';
import { Ledger } from '../ledger/ledger.js';
import { billingOf } from './billing.js';
import { Gate } from './gate.js';
import type { MemberTarget, Order } from './member-orders.js';
import { KeyPublisher } from './key-publisher.js';
import { CutOffWatch, watchStalls } from './lapse-watch.js';
import { NoticePublisher } from './notice-publisher.js';
import { mailingOf, noticesGroup, noticesStream } from './notices.js';
import { effectsKey, orders, ordersKey, ordersTag } from './orders-stream.js';
import { Pace } from './pace.js';
import { Publisher } from './publisher.js';
import { shipments } from './shipments-stream.js';
import { trackingOf } from './tracking.js';

const [, , name = '', ledgerUrl = ''] = process.argv;
const ledger = new Ledger(ledgerUrl);
const gate = new Gate();
let app: INestApplicationContext | undefined;
let watch: CutOffWatch | undefined;
let publishers: readonly { rest(): Promise<void> }[] = [];
watchStalls(name, ledger);

// What goes wrong is told by the ledger, and by complaints.
Logger.overrideLogger(false);

@Module({})
class MemberModule {}

async function connect({ redis, streams }: MemberTarget): Promise<void> {
  const imports = [
    RedisModule.forRoot(redis),
    RedisStreamsModule.forRoot(streams),
    RedisStreamsModule.forFeature([orders, shipments]),
  ];
  const providers = [billingOf(name, ledger, gate), trackingOf(name, ledger, gate)];
  if (streams.consumers === false) {
    app = await NestFactory.createApplicationContext({ module: MemberModule, imports });
  } else {
    const module = { module: MemberModule, imports, providers, controllers: [mailingOf(name, ledger, gate)] };
    const service = await NestFactory.create(module, new ExpressAdapter());
    app = service;
    const serving = { streams: service.get(RedisStreams), stream: noticesStream, group: noticesGroup };
    service.connectMicroservice({ strategy: new RedisStreamsServer({ ...serving, concurrency: 16 }) });
    await service.startAllMicroservices();
    await service.init();
  }
  const { client } = app.get(RedisStreams).connection;
  watch = new CutOffWatch(name, ledger, () => client.exists(ordersKey, effectsKey(ordersTag, 'nothing')));
}

async function publish(wave: string, perSecond: number): Promise<void> {
  await rest();
  if (app === undefined) throw new Error('A member must be connected before it publishes.');
  const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
  const keyed = app.get<StreamProducer<typeof shipments>>(getStreamToken(shipments));
  const emitting = new RedisStreamsClient({ streams: app.get(RedisStreams), stream: noticesStream });
  // A second of it.
  const pace = new Pace(ledger, wave, perSecond);
  publishers = [
    new Publisher(name, producer, ledger, wave, perSecond, pace),
    new KeyPublisher(name, keyed, ledger, wave, pace),
    new NoticePublisher(name, emitting, ledger, wave, pace),
    pace,
  ];
}

async function rest(): Promise<void> {
  await Promise.all(publishers.map((publisher) => publisher.rest()));
  publishers = [];
}

async function disconnect(): Promise<void> {
  gate.open();
  watch?.stop();
  await rest();
  await app?.close();
  app = undefined;
}

async function carryOut(order: Order): Promise<void> {
  switch (order.order) {
    case 'connect':
      return connect(order.target);
    case 'publish':
      return publish(order.wave, order.perSecond);
    case 'rest':
      return rest();
    case 'hold':
      gate.shut();
      return gate.holds(orders.name, shipments.name);
    case 'let-go':
      gate.open();
      return;
    case 'hear':
      return watch?.answered();
    case 'disconnect':
      return disconnect();
  }
}

obey(carryOut);
