import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import type { LoggerService } from '@nestjs/common';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  getStreamToken,
  onStreamTelemetry,
  StreamConsumer,
  StreamHandler,
  type StreamContext,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { age, billingDeadLetters, entries, ordersKey, pending } from './support/read-redis.js';
import { closeApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const patience = { within: 20_000 };
const megabytes = (count: number) => 'x'.repeat(count * 1024 * 1024);

/** What somebody else may have written to the stream, as the fields of an entry: nothing that a handler could be given. */
const unreadable: Record<string, (string | Buffer)[]> = {
  'no field of ours': ['hello', 'world'],
  'no payload': ['t', 'order.created', 'i', 'a', 'k', 'b', 'h', ''],
  'no type': ['d', '{"id":-1}', 'i', '', 'k', '', 'h', ''],
  'a payload that is no JSON': ['t', 'order.created', 'd', '{"id":'],
  'an empty payload': ['t', 'order.created', 'd', ''],
  'a payload that is no text': ['t', 'order.created', 'd', Buffer.from([0xff, 0xfe, 0x80])],
  'a payload with __proto__': ['t', 'order.created', 'd', '{"__proto__":{"admin":true},"id":-1}'],
  'a payload a thousand levels deep': ['t', 'order.created', 'd', '['.repeat(1_000) + ']'.repeat(1_000)],
  'a payload of 10 MB': ['t', 'order.created', 'd', JSON.stringify({ id: -1, note: megabytes(10) })],
  'headers that are no JSON': ['t', 'order.created', 'd', '{"id":-1}', 'h', '{"tenant"'],
  'headers that are no object': ['t', 'order.created', 'd', '{"id":-1}', 'h', '7'],
  'a field name of random bytes': [randomBytes(64), 'x'],
  'five thousand fields': Array.from({ length: 10_000 }, (_, at) => `f${at}`),
};

const throwing = (): never => {
  throw new Error('of the getter');
};
const revoked = (): unknown => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
/** What a handler may throw, and what its dead letter says of it. */
const thrown: Record<string, [value: unknown, message: string]> = {
  undefined: [undefined, ''],
  null: [null, 'null'],
  'a text': ['no', 'no'],
  'an object without a prototype': [Object.create(null), '[Object: null prototype] {}'],
  'a symbol': [Symbol('odd'), 'Symbol(odd)'],
  'something revoked': [revoked(), '<Revoked Proxy>'],
  'something that can not be shown': [{ [inspect.custom]: throwing }, 'it can not be described'],
  'an error without a message': [Object.assign(new Error(), { message: undefined }), ''],
  'an error whose message is an object': [Object.assign(new Error(), { message: { code: 7 } }), '{ code: 7 }'],
  'an error whose message throws': [
    Object.defineProperty(new Error(), 'message', { get: throwing }),
    'it can not be described',
  ],
  'an error whose name is a symbol': [Object.assign(new Error('named'), { name: Symbol('odd') }), 'named'],
  'an error whose stack is a list': [Object.assign(new Error('listed'), { stack: ['a', 'b'] }), 'listed'],
};

describeOn(standalone, cluster)('bad input', (redis) => {
  let client: ReturnType<typeof redis.client>;
  beforeEach(() => {
    client = redis.client();
  });

  const consuming = async (app: Partial<AppOptions> = {}) => {
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing', concurrency: 1 })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(id);
      }
    }
    const module = await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing], ...app });
    return { seen, producer: module.get<StreamProducer<typeof orders>>(getStreamToken(orders)) };
  };
  const deadLetters = () => entries(client, billingDeadLetters);
  const good = (id: number) => ['t', 'order.created', 'd', JSON.stringify({ id })];

  it('makes dead letters of what nobody can read, once each, and handles everything in between', async () => {
    const kinds = Object.values(unreadable);
    for (const [at, fields] of kinds.entries()) {
      await client.xadd(ordersKey, '*', ...fields);
      await client.xadd(ordersKey, '*', ...good(at));
    }
    const { seen } = await consuming();
    await eventually(() => {
      expect(seen).toEqual(kinds.map((_, at) => at));
    }, patience);
    await eventually(async () => {
      const reasons = (await deadLetters()).map((letter) => letter['x-reason']);
      expect(reasons).toEqual(kinds.map(() => 'undecodable'));
      expect(await pending(client)).toEqual([]);
    }, patience);
  });

  it('handles an entry that has only a type and a payload, and one with fields that it does not know', async () => {
    await client.xadd(ordersKey, '*', ...good(1));
    await client.xadd(ordersKey, '*', 'later', 'version', ...good(2), 'x', 'y');
    const { seen } = await consuming();
    await eventually(() => {
      expect(seen).toEqual([1, 2]);
    }, patience);
    expect(await deadLetters()).toEqual([]);
  });

  it('makes dead letters of what handlers throw, whatever that is, and handles everything in between', async () => {
    const kinds = Object.values(thrown);
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing', concurrency: 1 })
    class Billing {
      @StreamHandler(orders.event('order.created'), { retry: { attempts: 1 } })
      created({ id }: OrderCreated) {
        const kind = kinds[id];
        if (kind !== undefined) throw kind[0];
        seen.push(id);
      }
    }
    for (const at of kinds.keys()) await client.xadd(ordersKey, '*', ...good(at), 'x', 'y');
    await client.xadd(ordersKey, '*', ...good(kinds.length));
    await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing] });
    await eventually(async () => {
      expect(seen).toEqual([kinds.length]);
      expect(await pending(client)).toEqual([]);
    }, patience);
    const letters = await deadLetters();
    // By their payloads: each is moved by a script of its own, and one that the server does not know yet is sent again, behind others.
    const messages = letters.map(({ d, 'x-message': message }) => [d, message]);
    expect(messages.toSorted()).toEqual(kinds.map(([, message], id) => [JSON.stringify({ id }), message]).toSorted());
    for (const letter of letters) expect(letter).toMatchObject({ 'x-reason': 'attempts', t: 'order.created', x: 'y' });
  });

  it('carries the most of an entry with thousands of fields through retries and to the dead letters', async () => {
    const attempts: number[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'), { retry: { attempts: 2, backoff: 1 } })
      created({ id }: OrderCreated, { attempt }: StreamContext) {
        attempts.push(attempt);
        throw new Error(`no ${id}`);
      }
    }
    const others = Array.from({ length: 10_000 }, (_, at) => `f${at}`);
    await client.xadd(ordersKey, '*', ...others, ...good(7));
    await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing] });
    await eventually(async () => {
      expect(await deadLetters()).toMatchObject([{ 'x-attempts': '2', t: 'order.created', d: '{"id":7}', f0: 'f1' }]);
    }, patience);
    expect(attempts).toEqual([1, 2]);
    const [letter] = await deadLetters();
    expect(
      Number(letter?.['x-cut']) + Object.keys(letter ?? {}).filter((name) => /^(f\d+|t|d)$/.test(name)).length,
    ).toBe(5_002);
  });

  it('tells when dead letters have to go for newer ones', async () => {
    let dropped = 0;
    const warnings: string[] = [];
    const none = () => undefined;
    const stop = onStreamTelemetry((event) => {
      if (event.event === 'dropped') dropped += event.count;
    });
    try {
      await client.xadd(ordersKey, '*', ...good(1));
      const { seen } = await consuming({
        options: { deadLetters: { maxLen: 10 } },
        logger: { log: none, error: none, warn: (message: unknown) => warnings.push(String(message)) },
      });
      for (let at = 0; at < 250; at += 1) await client.xadd(ordersKey, '*', 'd', '{}');
      await eventually(async () => {
        expect(seen).toEqual([1]);
        expect(dropped).toBeGreaterThan(0);
        expect(dropped + (await client.xlen(billingDeadLetters))).toBe(250);
      }, patience);
    } finally {
      stop();
    }
    expect(warnings.filter((text) => text.includes('more than deadLetters.maxLen, 10'))).toHaveLength(1);
  });

  it('makes a dead letter of a type that the stream does not have', async () => {
    await client.xadd(ordersKey, '*', 't', 'order.lost', 'd', '{"id":1}');
    // One that the stream has, and this group does not handle, is none.
    await client.xadd(ordersKey, '*', 't', 'order.cancelled', 'd', '{"id":2}');
    await client.xadd(ordersKey, '*', ...good(3));
    const { seen } = await consuming();
    await eventually(() => {
      expect(seen).toEqual([3]);
    }, patience);
    await eventually(async () => {
      expect(await deadLetters()).toMatchObject([{ 'x-reason': 'unknown-type', t: 'order.lost', d: '{"id":1}' }]);
      expect(await pending(client)).toEqual([]);
    }, patience);
  });

  it('refuses a payload of 10 MB, typed, before anything is sent', async () => {
    const { producer } = await consuming();
    const tooLarge = { id: 1, note: megabytes(10) };
    await expect(producer.publish('order.created', tooLarge)).rejects.toMatchObject({
      message: expect.stringContaining('1048576') as string,
    });
    expect(await client.xlen(ordersKey)).toBe(0);
  });

  it('says so when the stream becomes something else, and goes on when it is a stream again', async () => {
    const warnings: string[] = [];
    const log = () => undefined;
    const logger: LoggerService = { log, error: log, warn: (message: unknown) => warnings.push(String(message)) };
    const { seen, producer } = await consuming({ logger, options: { block: 100 } });
    await client.multi().del(ordersKey).set(ordersKey, 'a string').exec();
    await eventually(() => {
      expect(warnings.join('\n')).toContain(`The key "${ordersKey}" holds no stream`);
    }, patience);
    await client.del(ordersKey);
    await producer.publish('order.created', { id: 1 });
    await eventually(() => {
      expect(seen).toEqual([1]);
    }, patience);
  });

  it('keeps what it can not give up while the key of the dead letters holds something else', async () => {
    const warnings: string[] = [];
    const none = () => undefined;
    const { seen } = await consuming({
      logger: { log: none, error: none, warn: (message: unknown) => warnings.push(String(message)) },
    });
    await client.set(billingDeadLetters, 'a string');
    await client.xadd(ordersKey, '*', 'hello', 'world');
    await client.xadd(ordersKey, '*', ...good(1));
    await eventually(() => {
      expect(seen).toEqual([1]);
    }, patience);
    await eventually(async () => {
      expect(warnings.join('\n')).toContain('The key of the dead letters holds a string');
      expect(await pending(client)).toHaveLength(1);
    }, patience);
    await client.del(billingDeadLetters);
    await eventually(async () => {
      await age(client, 30_000);
      expect(await deadLetters()).toMatchObject([{ 'x-reason': 'undecodable', hello: 'world' }]);
      expect(await pending(client)).toEqual([]);
    }, patience);
  });
});
