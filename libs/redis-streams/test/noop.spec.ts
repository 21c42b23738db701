import { Test } from '@nestjs/testing';
import { InjectStream, provideNoopStreams, StreamConsumer, StreamHandler, type StreamProducer } from '../src/index.js';
import { orders } from './support/orders.js';

describe('provideNoopStreams', () => {
  @StreamConsumer(orders, { group: 'billing' })
  class Shop {
    constructor(@InjectStream(orders) readonly producer: StreamProducer<typeof orders>) {}
    @StreamHandler(orders.event('order.created'))
    created() {
      return undefined;
    }
  }

  it('lets publishers and consumers be built without Redis, and checks what is published', async () => {
    const module = await Test.createTestingModule({ providers: [Shop, ...provideNoopStreams(orders)] }).compile();
    const { producer } = module.get(Shop);
    expect(await producer.publish('order.created', { id: 1 })).toEqual({ id: '0-1', duplicate: false });
    await expect(producer.publish('order.paid', { id: 'x' })).rejects.toThrow('id: expected digits');
    await module.close();
  });
});
