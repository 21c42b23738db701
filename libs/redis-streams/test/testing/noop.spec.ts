import { Test, type TestingModule } from '@nestjs/testing';
import {
  InjectStream,
  provideNoopStreams,
  StreamConsumer,
  StreamHandler,
  type StreamProducer,
} from '../../src/index.js';
import { orders } from '../support/orders.js';

describe('provideNoopStreams', () => {
  @StreamConsumer(orders, { group: 'billing' })
  class Shop {
    constructor(@InjectStream(orders) readonly producer: StreamProducer<typeof orders>) {}
    @StreamHandler(orders.event('order.created'))
    created() {
      return undefined;
    }
  }

  let module: TestingModule;
  let producer: StreamProducer<typeof orders>;
  beforeEach(async () => {
    module = await Test.createTestingModule({ providers: [Shop, ...provideNoopStreams(orders)] }).compile();
    ({ producer } = module.get(Shop));
  });
  afterEach(() => module.close());

  it('lets publishers and consumers be built without Redis, and checks what is published', async () => {
    expect(await producer.publish('order.created', { id: 1 })).toEqual({ id: '0-1', duplicate: false });
    await expect(producer.publish('order.paid', { id: 'x' })).rejects.toThrow('id: expected digits');
    await expect(producer.publish('order.lost' as never, {} as never)).rejects.toThrow('Known events: order.created');
    await expect(producer.publish('order.created', { id: 1 }, { kay: 'a' } as never)).rejects.toThrow('kay');
  });

  it('knows message ids, batches and delays', async () => {
    const [first, second] = await producer.publishBatch([
      { type: 'order.created', payload: { id: 1 }, messageId: 'm-1' },
      { type: 'order.created', payload: { id: 1 }, messageId: 'm-1' },
    ]);
    expect(first).toEqual({ id: '0-1', duplicate: false });
    expect(second).toEqual({ id: '0-1', duplicate: true });
    await expect(producer.publishBatch([{ type: 'order.paid', payload: { id: 'x' } }])).rejects.toMatchObject({
      name: 'BatchPublishError',
    });
    const at = new Date('2030-01-01');
    const later = await producer.publish('order.created', { id: 1 }, { messageId: 'm-2', at });
    expect(later).toEqual({ id: 'm-2', duplicate: false, dueAt: at });
    expect(await producer.reschedule('m-2', '1h')).toBe(true);
    expect(await producer.cancel('m-2')).toBe(true);
    expect(await producer.cancel('m-2')).toBe(false);
    expect(await producer.reschedule('m-2', '1h')).toBe(false);
  });

  it('has nothing to read, and minds how it is asked', async () => {
    const read: unknown[] = [];
    for await (const message of producer.read({ from: 'start' })) read.push(message);
    expect(read).toEqual([]);
    expect(() => producer.read({ from: 'never' })).toThrow('from');
  });
});
