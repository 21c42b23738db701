import { RedisServer } from '@redstart/redis-testing';
import { aCall, openConnection } from './support/open-connection.js';

describe('beforeClose', () => {
  it('lets the libraries speak to Redis once more, and closes whatever they answer', async () => {
    await using server = await RedisServer.start();
    const { connection } = await openConnection({ url: server.url });
    connection.beforeClose(async () => {
      await connection.call(aCall, (client) => client.set('farewell', 'said'));
    });
    connection.beforeClose(() => Promise.reject(new Error('nothing to say')));
    connection.leases.track({ renew: () => Promise.resolve() }, { key: 'a' }, 60_000);
    await connection.close();
    expect(await server.ask((redis) => redis.get('farewell'))).toBe('said');
    expect(connection.client.status).toBe('end');
    expect(connection.leases.size).toBe(0);
  });
});
