import { eventually, RedisCluster, type RedisServer } from '@redstart/redis-testing';
import { getStreamToken, StreamConsumer, StreamHandler, type StreamProducer } from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { ordersKey, pending } from './support/read-redis.js';
import { closingApps, startApp } from './support/start-app.js';

/** An application that consumes from a cluster, and what it has published and handled. */
async function consuming(cluster: RedisCluster) {
  const seen = new Set<number>();
  @StreamConsumer(orders, { group: 'billing' })
  class Billing {
    @StreamHandler(orders.event('order.created'))
    created({ id }: OrderCreated) {
      seen.add(id);
    }
  }
  const app = await startApp({
    connection: { cluster: [...cluster.nodes] },
    streams: [orders],
    consumers: [Billing],
    options: { publishTimeout: '2s' }, // `publish` tries again
  });
  const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
  const client = cluster.client();
  let published = 0;
  /** Publishes further orders, however often it takes. Without message ids: in a slot that moves, a script of two keys has to wait for the end. */
  const publish = async (count: number) => {
    for (const last = published + count; published < last; published += 1) {
      const id = published;
      const again = () => producer.publish('order.created', { id });
      await eventually(again, { within: 30_000 });
    }
  };
  const allSeen = async () => {
    await eventually(
      () => {
        expect(seen.size).toBe(published);
      },
      { within: 30_000 },
    );
    await eventually(async () => (await pending(client)).length === 0, { within: 30_000 });
  };
  await publish(3);
  await allSeen();
  return { publish, allSeen };
}

/** Waits until the replica of a master has everything that the master has. */
async function replicated(owner: RedisServer): Promise<void> {
  await owner.ask(async (redis) => {
    // WAIT is about what its own connection has written.
    await redis.set(`${ordersKey}:marker`, '1');
    // A command of this connection may take 5 s.
    await eventually(async () => (await redis.wait(1, 1_000)) === 1, { within: 30_000 });
  });
}

describe('on a Cluster', () => {
  it('goes on while a master of other slots is dead and stays down', async () => {
    await using cluster = await RedisCluster.start({
      masters: 3,
      replicas: 0,
      args: ['--cluster-require-full-coverage', 'no'],
    });
    await using _apps = closingApps();
    const { publish, allSeen } = await consuming(cluster);
    const owner = await cluster.nodeOf(ordersKey);
    const other = (await cluster.masters()).find((master) => master !== owner);
    await other?.kill();
    expect(other?.running).toBe(false);

    for (let round = 0; round < 10; round += 1) {
      await publish(5);
      await allSeen();
    }
  }, 120_000);

  it("goes on after a failover of the stream's master, which stays down, and loses nothing", async () => {
    await using cluster = await RedisCluster.start({ masters: 3, replicas: 1 });
    await using _apps = closingApps();
    const { publish, allSeen } = await consuming(cluster);
    const owner = await cluster.nodeOf(ordersKey);
    await publish(20);
    await replicated(owner);
    await owner.kill();
    await publish(20);
    await allSeen();
    expect(owner.running).toBe(false);
    // Of the nodes one may hear of it later than those that elected the new master.
    await eventually(async () => (await cluster.nodeOf(ordersKey)) !== owner);
    // And it is not the end of it.
    await publish(20);
    await allSeen();
  }, 120_000);

  it('follows its stream to another master', async () => {
    await using cluster = await RedisCluster.start({ masters: 3, replicas: 0 });
    await using _apps = closingApps();
    const { publish, allSeen } = await consuming(cluster);
    const owner = await cluster.nodeOf(ordersKey);
    const target = (await cluster.masters()).find((master) => master !== owner);
    if (target === undefined) throw new Error('There are three masters.');
    await cluster.migrateSlot(await cluster.slotOf(ordersKey), target, { during: () => publish(10) });
    await publish(10);
    await allSeen();
    expect(await cluster.nodeOf(ordersKey)).toBe(target);
  }, 120_000);
});
