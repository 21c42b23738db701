import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { concat, firstValueFrom, from, NEVER, of, throwError } from 'rxjs';
import { RedisStreamsContext } from '../../src/transport/index.js';
import { age, pending } from '../support/read-redis.js';
import { closeHybrids, startHybrid, type Hybrid } from './start-hybrid.js';

afterEach(closeHybrids);

const requests = 'shop:stream:{orders.requests}';

/** It begins every call, ends none, and heeds no signal. */
@Controller()
class First {
  begun: string[] = [];
  signals: AbortSignal[] = [];

  @MessagePattern('price')
  price(@Payload() _: unknown, @Ctx() ctx: RedisStreamsContext) {
    this.begun.push('price');
    this.signals.push(ctx.getMessage().signal);
    return new Promise(() => undefined);
  }
  @MessagePattern('count')
  count(_: unknown) {
    return this.#some('count', 1, 2);
  }
  @MessagePattern('fewer')
  fewer(_: unknown) {
    return this.#some('fewer', 1, 2);
  }
  @MessagePattern('fails')
  fails(_: unknown) {
    return this.#some('fails', 1, 2);
  }

  #some(name: string, ...values: number[]) {
    this.begun.push(name);
    return concat(from(values), NEVER);
  }
}

@Controller()
class Second {
  begun: string[] = [];

  @MessagePattern('price')
  price(_: unknown) {
    this.begun.push('price');
    return 42;
  }
  @MessagePattern('count')
  count(_: unknown) {
    this.begun.push('count');
    return from([1, 2, 3]);
  }
  @MessagePattern('fewer')
  fewer(_: unknown) {
    this.begun.push('fewer');
    return of(1);
  }
  @MessagePattern('fails')
  fails(_: unknown) {
    this.begun.push('fails');
    return throwError(() => new Error('not here'));
  }
}

describeOn(standalone, cluster)('RedisStreamsServer: calls that change hands', (redis) => {
  const start = (controllers: Hybrid['controllers'], options: Hybrid['options'] = {}) =>
    startHybrid({ connection: redis.connection, controllers, options });

  it('leaves a call whose server stops to the next one, whose replies go on behind those that were heard', async () => {
    const { client } = await start([]);
    const first = await start([First], { drainTimeout: 0 });
    const told: Record<string, unknown[]> = {};
    const call = (pattern: string): Promise<unknown> => {
      const values: unknown[] = (told[pattern] = []);
      return new Promise((resolve) => {
        client.send<unknown>(pattern, {}).subscribe({
          next: (value) => values.push(value),
          error: (error: unknown) => {
            resolve(error);
          },
          complete: () => {
            resolve('complete');
          },
        });
      });
    };
    const ends = Promise.all(['price', 'count', 'fewer', 'fails'].map(call));
    await eventually(() => {
      expect(first.app.get(First).begun).toHaveLength(4);
      expect(told).toEqual({ price: [], count: [1, 2], fewer: [1, 2], fails: [1, 2] });
    });
    await first.app.close();
    const second = await start([Second]);
    expect(await ends).toEqual(['complete', 'complete', 'complete', expect.objectContaining({ status: 'error' })]);
    expect(told).toEqual({ price: [42], count: [1, 2, 3], fewer: [1, 2], fails: [1, 2] });
    expect(second.app.get(Second).begun.toSorted()).toEqual(['count', 'fails', 'fewer', 'price']);
    await eventually(async () => (await pending(redis.client(), 'rpc', requests)).length === 0);
  });

  it('says nothing to a call that another server has taken over', async () => {
    const { client } = await start([]);
    // It hears of its loss soon, and takes nothing over itself.
    const first = await start([First], { minIdle: '1s', claimInterval: '10m' });
    const reply = firstValueFrom(client.send('price', {}));
    const { signals } = first.app.get(First);
    await eventually(() => signals.length > 0);
    const [row] = await pending(redis.client(), 'rpc', requests);
    await redis.client().call('xclaim', requests, 'rpc', 'other', 0, row?.id ?? '', 'JUSTID');
    await eventually(() => signals.every(({ aborted }) => aborted));
    // The other one dies.
    await age(redis.client(), 60_000, 'rpc', requests);
    const second = await start([Second]);
    expect(await reply).toBe(42);
    expect(second.app.get(Second).begun).toEqual(['price']);
  });

  it('tells the servers of a call that got no further reply in time', async () => {
    const { impatient } = await start([First]);
    const values: unknown[] = [];
    // On a slow machine the time is over before the first reply.
    while (values.length === 0) {
      const end = new Promise((_, reject) => {
        impatient.send<unknown>('count', {}).subscribe({ next: (value) => values.push(value), error: reject });
      });
      await expect(end).rejects.toMatchObject({ code: 'STREAM_CALL_TIMEOUT' });
    }
    await eventually(async () => {
      const reader = redis.client();
      // A client of a Cluster knows its nodes then.
      await reader.ping();
      const nodes = 'nodes' in reader ? reader.nodes('master') : [reader];
      const keys = (await Promise.all(nodes.map((node) => node.keys('shop:stream-reply:*:abandoned:*')))).flat();
      expect(keys).not.toEqual([]);
    });
  });
});
