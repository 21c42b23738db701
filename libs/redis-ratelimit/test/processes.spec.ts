import { join } from 'node:path';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import { limit, policies } from './processes/client-policies.js';
import { Programs } from '@redstart/redis-testing/programs';

describeOn(standalone, cluster)('200 parallel clients in two processes', (redis) => {
  it('are admitted exactly as often as each limit says', async () => {
    const options = { connection: redis.connection, clients: 100, callsEach: 2 };
    await using instances = await Programs.compile(join(import.meta.dirname, '..'), 'test/processes');
    await using one = instances.start('test/processes/client-instance', options);
    await using other = instances.start('test/processes/client-instance', options);
    const both = [one, other];
    await Promise.all(both.map((instance) => instance.tells('ready', 60_000)));
    for (const policy of Object.keys(policies)) {
      for (const instance of both) instance.send(policy);
      const told = await Promise.all(both.map((instance) => instance.tells(policy, 60_000)));
      const admitted = told.map((report) => Number(report['admitted']));
      expect({ policy, admitted: admitted.reduce((total, count) => total + count, 0) }).toEqual({
        policy,
        admitted: limit,
      });
    }
  }, 180_000);
});
