import { AsyncLocalStorage } from 'node:async_hooks';
import { RedisUnavailableError } from '@redstart/redis-core';
import { AppendOrder } from '../../src/write-behind/append-order.js';
import { gate, type Gate } from '../gate.js';

/** One append that the stream has not answered yet. */
interface Sent {
  readonly id: string;
  readonly value: string;
  readonly answer: Gate<string | Error>;
}

describe('the order of appends', () => {
  let sent: Sent[];
  const append = async (id: string, value: string): Promise<string> => {
    const answer = gate<string | Error>();
    sent.push({ id, value, answer });
    const entry = await answer.opened;
    if (entry instanceof Error) throw entry;
    return entry;
  };
  const start = (budgetMs = 60_000) => new AppendOrder<string>(budgetMs);
  const add = (order: AppendOrder<string>, id: string, value: string) => {
    const send = () => append(id, value);
    const added = order.add(id, send, send);
    added.catch(() => undefined); // it is looked at later
    return added;
  };
  const answer = async (place: number, entry: string | Error) => {
    sent[place]?.answer.open(entry);
    await new Promise(setImmediate);
  };
  const values = () => sent.map(({ value }) => value);
  beforeEach(() => {
    sent = [];
  });

  it('sends nothing of a key while an earlier write of it is on its way, and keeps no other key waiting', async () => {
    const order = start();
    const first = add(order, 'a', 'first');
    const second = add(order, 'a', 'second');
    const other = add(order, 'b', 'other');
    expect(values()).toEqual(['first', 'other']);
    await answer(1, '1-1');
    expect(await other).toEqual('1-1');
    expect(values()).toEqual(['first', 'other']);
    await answer(0, '1-0');
    expect(await first).toEqual('1-0');
    expect(values()).toEqual(['first', 'other', 'second']);
    const third = add(order, 'a', 'third');
    expect(values()).toHaveLength(3);
    await answer(2, '2-0');
    await answer(3, '3-0');
    expect([await second, await third]).toEqual(['2-0', '3-0']);
    expect(order.size).toBe(0);
  });

  it('appends the newest for all that have waited', async () => {
    const order = start();
    const first = add(order, 'a', '0');
    const waiting = Array.from({ length: 50 }, (_, index) => add(order, 'a', String(index + 1)));
    await answer(0, '1-0');
    expect(values()).toEqual(['0', '50']);
    await answer(1, '2-0');
    expect(await first).toEqual('1-0');
    for (const each of waiting) expect(await each).toEqual('2-0');
    expect(order.size).toBe(0);
  });

  it('goes on after a failure', async () => {
    for (const error of [new Error('too large'), new RedisUnavailableError('down', 'unknown')]) {
      sent = [];
      const order = start();
      const [first, second] = [add(order, 'a', 'first'), add(order, 'a', 'second')];
      await answer(0, error);
      await expect(first).rejects.toBe(error);
      await answer(1, '2-0');
      expect(await second).toEqual('2-0');
      expect(order.size).toBe(0);
    }
  });

  it('lets an earlier one have its turn where the newest is refused, and none where Redis is down', async () => {
    const order = start();
    await Promise.all([add(order, 'a', '0'), answer(0, '1-0')]);
    const writes = ['1', '2', '3', '4'].map((value) => add(order, 'a', value));
    await answer(1, '1-1');
    const tooLarge = new Error('too large');
    await answer(2, tooLarge);
    expect(values()).toEqual(['0', '1', '4', '3']);
    const late = add(order, 'a', '5');
    const down = new RedisUnavailableError('down', 'unknown');
    await answer(3, down);
    const outcomes = await Promise.allSettled(writes);
    expect(outcomes.slice(1)).toEqual([down, down, tooLarge].map((reason) => ({ status: 'rejected', reason })));
    await answer(4, '5-0');
    expect(await late).toEqual('5-0');
    expect(order.size).toBe(0);
  });

  it('lets nobody wait for longer than the budget, and does not send what was told that it is not', async () => {
    const order = start(20);
    const first = add(order, 'a', 'first');
    const second = add(order, 'a', 'second');
    await expect(second).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'not-executed' });
    const third = add(order, 'a', 'third');
    await answer(0, '1-0');
    await first;
    expect(values()).toEqual(['first', 'third']);
    await expect(third).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'unknown' });
    await answer(1, '3-0');
    expect(order.size).toBe(0);
  });

  it('sends what has waited in the context of its caller', async () => {
    const caller = new AsyncLocalStorage<string>();
    const order = start();
    const now = () => append('a', `now ${caller.getStore()}`);
    const later = () => append('a', `later ${caller.getStore()}`);
    const writes = ['one', 'two'].map((name) => caller.run(name, () => order.add('a', now, later)));
    await answer(0, '1-0');
    await answer(1, '2-0');
    expect(await Promise.all(writes)).toEqual(['1-0', '2-0']);
    expect(values()).toEqual(['now one', 'later two']);
  });
});
