import { RedisServer } from '@redstart/redis-testing';
import { operationChannel, type OperationContext } from '../src/telemetry/channels.js';
import { aCall, openConnection, rejectionOf } from './support/open-connection.js';

describe('telemetry', () => {
  it('tells a subscriber of each call and its failure, but neither keys nor values', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    const events: [string, OperationContext][] = [];
    const on = (event: string) => (context: unknown) => {
      events.push([event, { ...(context as OperationContext) }]);
    };
    const handlers = {
      start: on('start'),
      end: on('end'),
      asyncStart: on('asyncStart'),
      asyncEnd: on('asyncEnd'),
      error: on('error'),
    };
    operationChannel.subscribe(handlers);
    try {
      await open.connection.call(aCall, (client) => client.set('S3CRET-key', 'S3CRET-value'));
      await rejectionOf(open.connection.call(aCall, (client) => client.lpush('S3CRET-key', 'x')));
    } finally {
      operationChannel.unsubscribe(handlers);
    }
    const ofOperation = { library: 'spec', operation: 'spec.call', connection: 'default' };
    expect(events.map(([event]) => event)).toEqual([
      'start',
      'end',
      'asyncStart',
      'asyncEnd',
      'start',
      'end',
      'error',
      'asyncStart',
      'asyncEnd',
    ]);
    for (const [, context] of events) expect(context).toMatchObject(ofOperation);
    expect(events.at(-1)?.[1].error).toMatchObject({ code: 'REDIS_COMMAND' });
    expect(JSON.stringify(events)).not.toContain('S3CRET');
  });
});
