import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  getStreamToken,
  StreamAdmin,
  StreamConsumer,
  StreamHandler,
  UnrecoverableError,
  type StreamContext,
  type StreamProducer,
} from '../../src/index.js';
import { StreamsHarness, type StreamsHarnessOptions } from '../../src/testing/index.js';
import { orders, type OrderCreated } from '../support/orders.js';
import { closeApps, startApp } from '../support/start-app.js';

afterEach(closeApps);

@StreamConsumer(orders, { group: 'billing' })
class Billing {
  // Hours, unless the harness hurries.
  @StreamHandler(orders.event('order.created'), { retry: { attempts: 3, backoff: '2h' } })
  created({ id }: OrderCreated, { attempt }: StreamContext) {
    if (id === 0) throw new UnrecoverableError('no such order');
    if (attempt <= id) throw new Error('not yet');
  }
}

describeOn(standalone, cluster)('StreamsHarness', (redis) => {
  const start = async (options: StreamsHarnessOptions = {}) => {
    const app = await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing] });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    return { app, producer, harness: StreamsHarness.of(app, options) };
  };

  it('sees messages handled, also those that have been before it is asked', async () => {
    const { harness, producer } = await start();
    const first = await producer.publish('order.created', { id: -1 }, { messageId: 'm-1', headers: { tenant: 'a' } });
    const handled = { outcome: 'handled', attempt: 1, message: { payload: { id: -1 }, headers: { tenant: 'a' } } };
    expect(await harness.expectHandled(orders, 'billing', first)).toMatchObject(handled);
    expect(await harness.expectHandled(orders, 'billing', 'm-1')).toMatchObject({ id: first.id });
    const isTenant = ({ message }: { message: { headers: Record<string, string> } | undefined }) =>
      message?.headers['tenant'] === 'a';
    expect(await harness.expectHandled(orders, 'billing', isTenant)).toMatchObject({ id: first.id });
    const delayed = await producer.publish('order.created', { id: -1 }, { delay: 20, messageId: 'm-2' });
    expect(await harness.expectHandled(orders, 'billing', delayed)).toMatchObject({ outcome: 'handled' });
    harness.close();
  });

  it('sees messages retried, without waiting for their backoff, and given up', async () => {
    const { harness, producer } = await start();
    const twice = await producer.publish('order.created', { id: 2 });
    expect(await harness.expectRetried(orders, 'billing', twice, { times: 2 })).toMatchObject({ attempt: 2 });
    expect(await harness.expectHandled(orders, 'billing', twice)).toMatchObject({ attempt: 3 });
    const always = await producer.publish('order.created', { id: 9 });
    expect(await harness.expectDeadLettered(orders, 'billing', always)).toMatchObject({
      reason: 'attempts',
      attempt: 3,
    });
    const never = await producer.publish('order.created', { id: 0 });
    await harness.expectDeadLettered(orders, 'billing', never, { reason: 'unrecoverable' });
    expect(harness.observed.filter(({ id }) => id === twice.id).map(({ outcome }) => outcome)).toEqual([
      'retried',
      'retried',
      'handled',
    ]);
    harness.close();
  });

  it('knows a delayed message by its publication, and forgets what was before a replay', async () => {
    const { app, harness, producer } = await start();
    const delayed = await producer.publish('order.created', { id: -1 }, { delay: 10 });
    const { message } = await harness.expectHandled(orders, 'billing', delayed);
    expect(message?.messageId).toBe(delayed.id);

    const bad = await producer.publish('order.created', { id: 0 });
    await harness.expectDeadLettered(orders, 'billing', bad);
    harness.forget();
    expect(harness.observed).toEqual([]);
    const letters = app.get(StreamAdmin).deadLetters(orders, 'billing');
    await eventually(async () => (await letters.replay()).replayed === 1);
    const again = await harness.expectDeadLettered(orders, 'billing', bad);
    expect(again.message?.headers['x-replayed-from']).toBeDefined();
    harness.close();
  });

  it('gives an expectation up as soon as it can not be met any more, and says what happened', async () => {
    const { harness, producer } = await start({ within: '1h' });
    const good = await producer.publish('order.created', { id: -1 });
    const bad = await producer.publish('order.created', { id: 0 });
    const told = (id: string) => `Expected the message "${id}" of "orders" in the group "billing" to be`;
    await expect(harness.expectDeadLettered(orders, 'billing', good)).rejects.toThrow(
      `${told(good.id)} dead-lettered; handled at attempt 1.`,
    );
    await expect(harness.expectRetried(orders, 'billing', good)).rejects.toThrow(
      'to be retried; handled at attempt 1.',
    );
    await expect(harness.expectHandled(orders, 'billing', bad)).rejects.toThrow(
      `${told(bad.id)} handled; dead-lettered (unrecoverable) at attempt 1.`,
    );
    await expect(harness.expectDeadLettered(orders, 'billing', bad, { reason: 'attempts' })).rejects.toThrow(
      'dead-lettered for "attempts"; dead-lettered (unrecoverable)',
    );
    harness.close();
  });

  it('waits no longer than told, and hears nothing after it is closed', async () => {
    const { app, harness, producer } = await start({ within: 50, hurryRetries: false });
    await expect(harness.expectHandled(orders, 'audit', '1-1')).rejects.toThrow('nothing became of it');
    const { id } = await producer.publish('order.created', { id: 1 });
    await eventually(() => harness.observed.length === 1);
    await expect(harness.expectHandled(orders, 'billing', id)).rejects.toThrow('handled; retried at attempt 1.');
    harness.close();
    using other = StreamsHarness.of(app);
    await other.expectHandled(orders, 'billing', await producer.publish('order.created', { id: -1 }));
    expect(harness.observed).toHaveLength(1);
    expect(() => StreamsHarness.of({} as never, { whithin: 1 } as never)).toThrow('whithin: is not an option');
  });
});
