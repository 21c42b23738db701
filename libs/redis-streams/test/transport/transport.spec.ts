import { Controller, Injectable, UseFilters, UseGuards, type CanActivate } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload, RpcException, type ClientProxy } from '@nestjs/microservices';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  concat,
  firstValueFrom,
  from,
  lastValueFrom,
  NEVER,
  of,
  Subject,
  throwError,
  toArray,
  type Subscription,
} from 'rxjs';
import {
  defineStream,
  event,
  getStreamToken,
  StreamAdmin,
  UnrecoverableError,
  type StreamProducer,
} from '../../src/index.js';
import {
  RedisStreamsContext,
  RedisStreamsExceptionFilter,
  redisStreamsTransport,
  StreamRecord,
} from '../../src/transport/index.js';
import { orders, type OrderCreated } from '../support/orders.js';
import { ordersKey, pending } from '../support/read-redis.js';
import { closeHybrids, startHybrid, type Hybrid } from './start-hybrid.js';

afterEach(closeHybrids);

/** A promise, and what resolves it. */
function gate() {
  const { promise, resolve } = withResolvers();
  return { opened: promise, open: resolve };
}

function withResolvers() {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

const emit = (client: ClientProxy, pattern: string, data: unknown) =>
  lastValueFrom(client.emit(pattern, data), { defaultValue: undefined });

describeOn(standalone, cluster)('RedisStreamsServer: events', (redis) => {
  const start = (controller: new () => object, hybrid: Partial<Hybrid> = {}) =>
    startHybrid({ connection: redis.connection, controllers: [controller], ...hybrid });

  it('acknowledges an event after its handler has settled, not before', async () => {
    const { opened, open } = gate();
    let begun = 0;
    @Controller()
    class Billing {
      @EventPattern('order.created')
      async created(_: unknown) {
        begun += 1;
        await opened;
      }
    }
    const { client } = await start(Billing);
    await emit(client, 'order.created', { id: 1 });
    await eventually(() => begun === 1);
    expect(await pending(redis.client())).toHaveLength(1);
    open();
    await eventually(async () => (await pending(redis.client())).length === 0);
    expect(begun).toBe(1);
  });

  it('waits for Observables, and for every handler of the event', async () => {
    const { opened, open } = gate();
    let begun = 0;
    @Controller()
    class Billing {
      @EventPattern('order.created')
      first(_: unknown) {
        begun += 1;
        return from(opened);
      }
      @EventPattern('order.created')
      second(_: unknown) {
        begun += 1;
      }
    }
    const { client } = await start(Billing);
    await emit(client, 'order.created', { id: 1 });
    await eventually(() => begun === 2);
    expect(await pending(redis.client())).toHaveLength(1);
    open();
    await eventually(async () => (await pending(redis.client())).length === 0);
  });

  it('gives an event up whose handler fails as often as allowed, however it fails', async () => {
    @Controller()
    class Billing {
      @EventPattern('throws')
      throws(_: unknown) {
        throw new Error('one');
      }
      @EventPattern('rejects')
      rejects(_: unknown) {
        return Promise.reject(new RpcException('two'));
      }
      @EventPattern('errs')
      errs(_: unknown) {
        return throwError(() => new RpcException({ status: 'error', message: 'three' }));
      }
    }
    const { app, client } = await start(Billing, { options: { retry: { attempts: 1 } } });
    for (const pattern of ['throws', 'rejects', 'errs']) await emit(client, pattern, {});
    const letters = app.get(StreamAdmin).deadLetters('orders', 'billing');
    await eventually(async () => (await letters.count()) === 3);
    const told = (await letters.list()).map(({ message, reason, error }) => [message?.type, reason, error.message]);
    expect(told.toSorted()).toEqual([
      ['errs', 'attempts', 'three'],
      ['rejects', 'attempts', 'two'],
      ['throws', 'attempts', 'Internal server error'],
    ]);
    expect(await pending(redis.client())).toEqual([]);
  });

  it('tries a failed event again, in its own group alone', async () => {
    const attempts: number[] = [];
    @Controller()
    class Billing {
      @EventPattern('order.created')
      created(@Payload() _: unknown, @Ctx() ctx: unknown) {
        if (!(ctx instanceof RedisStreamsContext)) throw new TypeError('another context');
        attempts.push(ctx.getMessage().attempt);
        if (ctx.getMessage().attempt < 3) throw new RpcException('not yet');
      }
    }
    const { client } = await start(Billing, { options: { retry: { attempts: 3, backoff: 1 } } });
    await emit(client, 'order.created', { id: 1 });
    await eventually(() => {
      expect(attempts).toEqual([1, 2, 3]);
    });
    await eventually(async () => (await pending(redis.client(), 'billing', `${ordersKey}:retry:billing`)).length === 0);
    expect(await redis.client().xlen(ordersKey)).toBe(1);
  });

  it('lets errors through with the filter: an UnrecoverableError is given up at once, by its own name', async () => {
    let runs = 0;
    @Controller()
    @UseFilters(RedisStreamsExceptionFilter)
    class Billing {
      @EventPattern('order.created')
      created(_: unknown) {
        runs += 1;
        throw new UnrecoverableError('no such customer');
      }
      @MessagePattern('price')
      price(_: unknown) {
        throw new RpcException('unknown article');
      }
    }
    const { app, client } = await start(Billing);
    await emit(client, 'order.created', { id: 1 });
    const letters = app.get(StreamAdmin).deadLetters('orders', 'billing');
    await eventually(async () => (await letters.count()) === 1);
    const [letter] = await letters.list();
    expect(letter).toMatchObject({ reason: 'unrecoverable', error: { message: 'no such customer' } });
    expect(runs).toBe(1);
    await expect(firstValueFrom(client.send('price', {}))).rejects.toMatchObject({ message: 'unknown article' });
  });

  it('applies guards, and gives up at once what a guard refuses', async () => {
    @Injectable()
    class Nobody implements CanActivate {
      canActivate = () => false;
    }
    @Controller()
    class Billing {
      @UseGuards(Nobody)
      @EventPattern('order.created')
      created(_: unknown) {
        return undefined;
      }
    }
    const { app, client } = await start(Billing);
    await emit(client, 'order.created', { id: 1 });
    const letters = app.get(StreamAdmin).deadLetters('orders', 'billing');
    await eventually(async () => (await letters.count()) === 1);
    expect(await letters.list()).toEqual([expect.objectContaining({ reason: 'unrecoverable' })]);
  });

  it('handles events by patterns, the one that is meant first, and none that it has no pattern for', async () => {
    const seen: string[] = [];
    @Controller()
    class Billing {
      @EventPattern('order.created')
      created(_: unknown) {
        seen.push('created');
      }
      @EventPattern('order.*')
      any(@Payload() _: unknown, @Ctx() ctx: unknown) {
        if (ctx instanceof RedisStreamsContext) seen.push(`any ${ctx.getPattern()}`);
      }
    }
    const { client } = await start(Billing);
    for (const pattern of ['customer.created', 'order.created', 'order.paid']) await emit(client, pattern, {});
    await eventually(async () => {
      expect(seen.toSorted()).toEqual(['any order.paid', 'created']);
      expect(await pending(redis.client())).toEqual([]);
    });
    @Controller()
    class Unknown {
      @EventPattern('order.lost')
      lost(_: unknown) {
        return undefined;
      }
    }
    const other = startHybrid({ connection: redis.connection, controllers: [Unknown], stream: orders });
    await expect(other).rejects.toThrow('Known events: order.created');
  });

  it('understands typed producers, and is understood by them', async () => {
    const seen: unknown[] = [];
    @Controller()
    class Billing {
      @EventPattern('order.created', redisStreamsTransport)
      created(@Payload() order: OrderCreated, @Ctx() ctx: unknown) {
        if (!(ctx instanceof RedisStreamsContext)) throw new TypeError('another context');
        seen.push([order, ctx.getPattern(), ctx.getHeaders(), ctx.getMessage().attempt]);
      }
    }
    const { app, client } = await start(Billing, { stream: orders });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    await producer.publish('order.created', { id: 1 }, { headers: { tenant: 'a' } });
    const event = new StreamRecord({ id: 2 }, { messageId: 'm-2', headers: { tenant: 'b' } });
    for (let twice = 0; twice < 2; twice += 1) await emit(client, 'order.created', event);
    await expect(emit(client, 'order.lost', {})).rejects.toThrow('Known events: order.created');
    await eventually(() => seen.length === 2);
    expect(seen).toEqual([
      [{ id: 1 }, 'order.created', { tenant: 'a' }, 1],
      [{ id: 2 }, 'order.created', { tenant: 'b' }, 1],
    ]);
    expect(await redis.client().xlen(ordersKey)).toBe(2);
  });

  it('gives an event up whose handlers take longer than the timeout of the server', async () => {
    let aborted = 0;
    @Controller()
    class Hanging {
      @EventPattern('order.created')
      created(@Payload() _: unknown, @Ctx() ctx: unknown) {
        if (!(ctx instanceof RedisStreamsContext)) throw new TypeError('another context');
        ctx.getMessage().signal.addEventListener('abort', () => (aborted += 1));
        return NEVER;
      }
    }
    const { app, client } = await start(Hanging, { server: { timeout: 50, retry: { attempts: 1 } } });
    await emit(client, 'order.created', { id: 1 });
    const letters = app.get(StreamAdmin).deadLetters('orders', 'billing');
    await eventually(async () => (await letters.count()) === 1);
    expect(await letters.list()).toMatchObject([{ reason: 'attempts', error: { name: 'HandlerTimeoutError' } }]);
    expect(aborted).toBe(1);
  });

  it('keeps the order of the keys of a stream with partitions, and answers its calls', async () => {
    const shipments = defineStream('shipments', { events: { moved: event<number>() }, partitions: 3 });
    const seen = new Map<string, number[]>();
    @Controller()
    class Tracking {
      @EventPattern('moved')
      async moved(@Payload() to: number, @Ctx() ctx: unknown) {
        if (!(ctx instanceof RedisStreamsContext)) throw new TypeError('another context');
        const { key } = ctx.getMessage();
        await new Promise((resolve) => setImmediate(resolve));
        seen.set(key, [...(seen.get(key) ?? []), to]);
      }
      @MessagePattern('where')
      where(key: string) {
        return seen.get(key)?.at(-1);
      }
    }
    const { client } = await start(Tracking, { stream: shipments });
    const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (let to = 1; to <= 5; to += 1) {
      await Promise.all(keys.map((key) => emit(client, 'moved', new StreamRecord(to, { key }))));
    }
    await eventually(() => {
      expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(keys.map((key) => [key, [1, 2, 3, 4, 5]])));
    });
    expect(await firstValueFrom(client.send('where', 'f'))).toBe(5);
    const lengths = await Promise.all([0, 1, 2].map((at) => redis.client().xlen(`shop:stream:{shipments/${at}}`)));
    expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(30);
    expect(Math.max(...lengths)).toBeLessThan(30);
  });
});

describeOn(standalone, cluster)('RedisStreamsServer: calls', (redis) => {
  let silent: unknown[] = [];
  beforeEach(() => {
    silent = [];
  });

  @Controller()
  class Prices {
    @MessagePattern('price')
    price({ id }: { id: number }) {
      return { id, price: id * 2 };
    }
    @MessagePattern({ cmd: 'count' })
    count(_: unknown) {
      return from([1, 2, 3]);
    }
    @MessagePattern('fails')
    fails(_: unknown) {
      return concat(
        of('first'),
        throwError(() => new RpcException({ status: 'error', message: 'then not' })),
      );
    }
    @MessagePattern('silent')
    silent(name: unknown) {
      silent.push(name);
      return NEVER;
    }
    @MessagePattern('odd')
    odd(_: unknown) {
      return of(() => 'a function');
    }
  }
  const start = (hybrid: Partial<Hybrid> = {}) =>
    startHybrid({ connection: redis.connection, controllers: [Prices], ...hybrid });

  it('replies with a value, with values, and with errors', async () => {
    const { client } = await start();
    const many = Array.from({ length: 50 }, (_, id) => firstValueFrom(client.send<unknown>('price', { id })));
    expect(await Promise.all(many)).toEqual(Array.from({ length: 50 }, (_, id) => ({ id, price: id * 2 })));
    expect(await lastValueFrom(client.send({ cmd: 'count' }, {}).pipe(toArray()))).toEqual([1, 2, 3]);
    const values: unknown[] = [];
    const failing = new Promise((_, reject) => {
      client.send<unknown>('fails', {}).subscribe({ next: (value) => values.push(value), error: reject });
    });
    await expect(failing).rejects.toMatchObject({ message: 'then not' });
    expect(values).toEqual(['first']);
    await expect(firstValueFrom(client.send('nobody', {}))).rejects.toContain('no matching message handler');
    await expect(firstValueFrom(client.send('odd', {}))).rejects.toMatchObject({
      message: 'The reply can not be sent.',
    });
  });

  it('acknowledges a call, and keeps replies only until they are read or the client closes', async () => {
    const { client, app } = await start();
    await firstValueFrom(client.send('price', { id: 1 }));
    const requests = 'shop:stream:{orders.requests}';
    await eventually(async () => (await pending(redis.client(), 'rpc', requests)).length === 0);
    const [reply = ''] = await replyKeys();
    const ttl = await redis.client().pttl(reply);
    expect(ttl).toBeGreaterThan(0);
    expect(ttl).toBeLessThanOrEqual(60_000);
    await client.close();
    expect(await replyKeys()).toEqual([]);
    // And it can be used again.
    expect(await firstValueFrom(client.send('price', { id: 4 }))).toEqual({ id: 4, price: 8 });
    await app.close();
  });

  async function replyKeys(): Promise<string[]> {
    const client = redis.client();
    await client.ping();
    const nodes = 'nodes' in client ? client.nodes('master') : [client];
    return (await Promise.all(nodes.map((node) => node.keys('shop:stream-reply:*')))).flat();
  }

  it('gives up a call without a reply in time, and one that is open when the client closes', async () => {
    const { client, impatient } = await start({ options: { drainTimeout: 0 } });
    await expect(firstValueFrom(impatient.send('silent', 'a'))).rejects.toMatchObject({ code: 'STREAM_CALL_TIMEOUT' });
    const open = firstValueFrom(client.send('silent', 'b'));
    await eventually(() => silent.includes('b'));
    const closed = expect(open).rejects.toMatchObject({ code: 'STREAM_CLIENT_CLOSED' });
    await client.close();
    await closed;
  });

  it('ends a call that nobody waits for any more: its slot is free, and its signal aborts', async () => {
    const begun: string[] = [];
    const ended: string[] = [];
    @Controller()
    class Hanging {
      @MessagePattern('hangs')
      hangs(@Payload() name: string, @Ctx() ctx: unknown) {
        if (!(ctx instanceof RedisStreamsContext)) throw new TypeError('another context');
        begun.push(name);
        ctx.getMessage().signal.addEventListener('abort', () => ended.push(name));
        return name.startsWith('promise') ? new Promise(() => undefined) : NEVER;
      }
      @MessagePattern('price')
      price(_: unknown) {
        return 7;
      }
    }
    const { client, impatient } = await start({ controllers: [Hanging], server: { concurrency: 1 } });
    for (const name of ['promise', 'observable']) {
      // On a slow machine the time is over before the call is begun, or just then: it is asked again, and both may be begun.
      for (let call = 1; !begun.some((each) => each.startsWith(name)); call += 1) {
        await expect(firstValueFrom(impatient.send('hangs', `${name} ${call}`))).rejects.toMatchObject({
          code: 'STREAM_CALL_TIMEOUT',
        });
      }
      expect(await firstValueFrom(client.send('price', {}))).toBe(7);
    }
    // One after the other, each of them once, and all have ended.
    expect(ended).toEqual(begun);
    expect(new Set(begun).size).toBe(begun.length);
    await eventually(async () => (await pending(redis.client(), 'rpc', 'shop:stream:{orders.requests}')).length === 0);
  });

  it.each<[string, (client: ClientProxy, subscription: Subscription) => unknown]>([
    [
      'has unsubscribed',
      (_, subscription) => {
        subscription.unsubscribe();
      },
    ],
    ['was closed', (client): unknown => client.close()],
  ])('ends an answer without an end when the client %s', async (_, leave) => {
    const ticks = new Subject<number>();
    @Controller()
    class Ticking {
      @MessagePattern('ticks')
      ticks(_: unknown) {
        return ticks;
      }
    }
    const { client } = await start({ controllers: [Ticking] });
    const seen: unknown[] = [];
    const subscription = client
      .send('ticks', {})
      .subscribe({ next: (tick) => seen.push(tick), error: () => undefined });
    await eventually(() => ticks.observed);
    ticks.next(1);
    await eventually(() => seen.length === 1);
    await leave(client, subscription);
    // The server hears of it with what it would reply next.
    await eventually(() => {
      ticks.next(2);
      expect(ticks.observed).toBe(false);
    });
    expect(seen).toEqual([1]);
    await eventually(async () => (await pending(redis.client(), 'rpc', 'shop:stream:{orders.requests}')).length === 0);
  });

  it('ends an answer without an end when its client has died, and keeps nothing of it', async () => {
    const ticks = new Subject<number>();
    @Controller()
    class Ticking {
      @MessagePattern('ticks')
      ticks(_: unknown) {
        return ticks;
      }
    }
    const { client } = await start({ controllers: [Ticking] });
    const seen: unknown[] = [];
    client.send('ticks', {}).subscribe({ next: (tick) => seen.push(tick), error: () => undefined });
    await eventually(() => ticks.observed);
    ticks.next(1);
    await eventually(() => seen.length === 1);
    // A client that lives prolongs the life of its replies, and that of a dead one is over after a minute.
    const [replies = ''] = await replyKeys();
    await redis.client().del(replies);
    await eventually(() => {
      ticks.next(2);
      expect(ticks.observed).toBe(false);
    });
    expect(await replyKeys()).toEqual([]);
  });

  it('does not begin a call that nobody waits for any more', async () => {
    const asking = await startHybrid({ connection: redis.connection, controllers: [] });
    await expect(firstValueFrom(asking.impatient.send('price', { id: 1 }))).rejects.toThrow(
      'Is a server of its stream',
    );
    // Whoever asks goes by its own clock, a server by that of Redis, which counts from the arrival of the call.
    await eventually(async () => {
      const [[id] = ['']] = await redis.client().xrange('shop:stream:{orders.requests}', '-', '+');
      const [seconds, microseconds] = await redis.client().time();
      const nowMs = Number(seconds) * 1_000 + Number(microseconds) / 1_000;
      expect(nowMs - Number(id.split('-')[0])).toBeGreaterThanOrEqual(300);
    });
    let calls = 0;
    @Controller()
    class Late {
      @MessagePattern('price')
      price(_: unknown) {
        calls += 1;
        return calls;
      }
    }
    const { client } = await startHybrid({ connection: redis.connection, controllers: [Late] });
    // Behind the expired one.
    expect(await firstValueFrom(client.send('price', { id: 2 }))).toBe(1);
    await eventually(async () => (await pending(redis.client(), 'rpc', 'shop:stream:{orders.requests}')).length === 0);
    expect(calls).toBe(1);
  });
});
