import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { aCall, openConnection, rejectionOf } from './support/open-connection.js';
import { OptionsError, PoolExhaustedError } from '../src/redis.errors.js';

/** What comes back is asked to forget its watches, and is closed when it has not answered by then: by a server that hangs, and not by one on a busy machine. */
const patient = '10s';

describeOn(standalone, cluster)('the pool', (redis) => {
  it('gives a transaction a connection of its own: WATCH sees the writes of others', async () => {
    await using open = await openConnection(redis.connection);
    const { pool, keys } = open.connection;
    const key = keys.tagged('balance', 1)();
    await redis.client().set(key, '100');
    const outcome = await pool.use(
      async (client) => {
        await client.watch(key);
        await redis.client().set(key, '50');
        return client.multi().set(key, '90').exec();
      },
      { key },
    );
    expect(outcome).toBeNull();
    expect(await redis.client().get(key)).toBe('50');
  });

  it('keeps connections for the next caller, without their watches', async () => {
    await using open = await openConnection({ ...redis.connection, shutdownTimeout: patient });
    const { pool, keys } = open.connection;
    const key = keys.tagged('balance', 2)();
    const first = await pool.use(
      async (client) => {
        await client.watch(key);
        return client.client('ID');
      },
      { key },
    );
    await redis.client().set(key, 'changed');
    const [second, outcome] = await pool.use(
      async (client) => [await client.client('ID'), await client.multi().get(key).exec()] as const,
      { key },
    );
    expect(second).toBe(first);
    expect(outcome).toEqual([[null, 'changed']]);
    expect(pool.size).toBe(1);
  });

  it('closes the connection of a caller that failed', async () => {
    await using open = await openConnection(redis.connection);
    const { pool, keys } = open.connection;
    const key = keys.tagged('x', 1)();
    const failure = new Error('mine');
    expect(
      await rejectionOf(
        pool.use(
          async (client) => {
            await client.multi({ pipeline: false });
            throw failure;
          },
          { key },
        ),
      ),
    ).toBe(failure);
    expect(pool.size).toBe(0);
  });

  it('lends no more than max, and says so when none comes free', async () => {
    await using open = await openConnection({ ...redis.connection, pool: { max: 1, acquireTimeout: '150ms' } });
    const { pool, keys } = open.connection;
    const key = keys.tagged('x', 2)();
    const error = await pool.use(() => rejectionOf(pool.use(() => Promise.resolve(), { key })), { key });
    expect(error).toBeInstanceOf(PoolExhaustedError);
    expect(error).toMatchObject({ max: 1, waitedMs: 150 });
  });

  it('serves those who wait for a connection in order', async () => {
    await using open = await openConnection({
      ...redis.connection,
      pool: { max: 1, acquireTimeout: '15s' },
      shutdownTimeout: patient,
    });
    const { pool, keys } = open.connection;
    const key = keys.tagged('x', 2)();
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const holding = pool.use(() => gate, { key });
    const order: number[] = [];
    const waiting = [1, 2, 3].map((who) => pool.use((client) => client.ping().then(() => order.push(who)), { key }));
    release?.();
    await Promise.all([holding, ...waiting]);
    expect(order).toEqual([1, 2, 3]);
    expect(pool.size).toBe(1);
  });

  it('frees a caller that is blocked at shutdown', async () => {
    const open = await openConnection(redis.connection);
    const { pool, keys } = open.connection;
    const key = keys.tagged('queue', 1)();
    const blocked = rejectionOf(pool.use((client) => client.blpop(key, 0), { key }));
    await eventually(async () => {
      const clients = await Promise.all(
        (redis.topology === 'cluster' ? redis.cluster.servers : [redis.server]).map((server) =>
          server.ask((client) => client.client('LIST')),
        ),
      );
      expect(String(clients)).toContain('cmd=blpop');
    });
    await open.connection.close();
    expect(await blocked).toBeInstanceOf(Error);
    expect(await rejectionOf(pool.use(() => Promise.resolve(), { key }))).toMatchObject({ code: 'REDIS_UNAVAILABLE' });
  });
});

describeOn(standalone)('a connection that breaks while it is lent', (redis) => {
  it('does not reconnect: its WATCH would be gone, and another write overwritten', async () => {
    await using open = await openConnection(redis.connection);
    const outcome = await rejectionOf(
      open.connection.pool.use(async (client) => {
        await client.watch('balance');
        const id = await client.client('ID');
        await redis.server.ask((other) => other.client('KILL', 'ID', id));
        await redis.server.ask((other) => other.set('balance', 'by somebody else'));
        return client.multi().set('balance', 'by me').exec();
      }),
    );
    expect(outcome).toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    expect(await redis.client().get('balance')).toBe('by somebody else');
    expect(open.connection.pool.size).toBe(0);
  });

  it('is not taken back in another database, subscribed, or blocked', async () => {
    await using open = await openConnection({ ...redis.connection, shutdownTimeout: '100ms' });
    const { pool } = open.connection;
    await pool.use((client) => client.select(5));
    expect(pool.size).toBe(0);
    await pool.use((client) => client.subscribe('news'));
    expect(pool.size).toBe(0);
    await pool.use(async (client) => {
      await client.ping();
      client.blpop('never', 0).catch(() => undefined);
    });
    expect(pool.size).toBe(0);
  });
});

describeOn(cluster)('the pool on a Cluster', (redis) => {
  it('wants to know the key', async () => {
    await using open = await openConnection(redis.connection);
    expect(await rejectionOf(open.connection.pool.use(() => Promise.resolve()))).toBeInstanceOf(OptionsError);
    await open.connection.call(aCall, (client) => client.ping());
  });
});
