import { cluster, commandsDuring, describeOn, sentinel, serversOf, standalone } from '../src/index.js';

describeOn(
  standalone,
  cluster,
  sentinel,
)('commandsDuring', (redis) => {
  it('counts what was carried out meanwhile, by clients and by scripts, and nothing else', async () => {
    const client = redis.client();
    await client.set('{a}1', 'before');
    const counts = await commandsDuring(serversOf(redis), async () => {
      await client.get('{a}1');
      await client.get('b');
      await client.eval("return redis.call('SET', KEYS[1], '1')", 1, '{a}2');
      // Refused, so not carried out.
      await client.lpush('{a}1', 'x').catch(() => undefined);
    });
    await client.set('{a}1', 'after');
    expect(counts).toMatchObject({ get: 2, set: 1, eval: 1 });
    expect(counts).not.toHaveProperty('lpush');
  });
});
