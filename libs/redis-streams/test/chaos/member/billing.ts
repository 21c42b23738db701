import {
  StreamBatchHandler,
  StreamConsumer,
  StreamHandler,
  UnrecoverableError,
  type BatchResult,
  type StreamContext,
  type StreamMessage,
} from '../../../src/index.js';
import { slots } from '../ledger/effects.js';
import type { Ledger } from '../ledger/ledger.js';
import { machineNow } from '../ledger/line.js';
import type { Gate } from './gate.js';
import { effectsKey, group, orders, type Order } from './orders-stream.js';

/** The consumer under test: a class for this process, whose work is to write to the ledger, or to count in Redis. */
export function billingOf(name: string, ledger: Ledger, gate: Gate) {
  const handled = ({ wave, message }: Order, begunAt: number) =>
    ledger.say(wave, { what: 'handled', message, by: name, begunAt, at: machineNow() });

  /** Resolves when the work on a message may begin. */
  const admitted = async ({ wave, message }: Order, { signal }: StreamContext): Promise<number> => {
    signal.addEventListener('abort', () => {
      void ledger.say(wave, { what: 'aborted', message, by: name, at: machineNow() });
    });
    await gate.opened(orders.name);
    // What another one works on by now is left to it.
    signal.throwIfAborted();
    return machineNow();
  };

  /** @throws what its fate is */
  const meetFate = ({ fate }: Order, { attempt }: StreamContext): void => {
    if (fate === 'fails for good') throw new UnrecoverableError('It fails for good.');
    if (fate === 'fails once' && attempt === 1) throw new Error('It fails once.');
  };

  const work = async (order: Order, ctx: StreamContext, effect: () => Promise<unknown>): Promise<void> => {
    const begunAt = await admitted(order, ctx);
    meetFate(order, ctx);
    await effect();
    await handled(order, begunAt);
  };

  @StreamConsumer(orders, { group, concurrency: slots })
  class Billing {
    @StreamHandler(orders.event('order.placed'))
    placed(order: Order, ctx: StreamContext): Promise<void> {
      return work(order, ctx, () => Promise.resolve());
    }

    /** Its effect is a line in the ledger, which is no part of the Redis under fault: the inbox is all that keeps it from taking place again. */
    @StreamHandler(orders.event('order.paid'), { idempotent: true })
    paid(order: Order, ctx: StreamContext): Promise<void> {
      return work(order, ctx, () => Promise.resolve());
    }

    /** Its effect is counted in the Redis under fault. */
    @StreamHandler(orders.event('order.shipped'))
    shipped(order: Order, ctx: StreamContext): Promise<void> {
      return work(order, ctx, () =>
        ctx.commit((multi) => multi.hincrby(effectsKey(ctx.hashTag, order.wave), order.message, 1)),
      );
    }

    @StreamBatchHandler(orders.event('order.packed'), { size: 20, maxWait: 10 })
    async packed(messages: readonly StreamMessage<Order>[]): Promise<BatchResult> {
      const failed: { message: StreamMessage<Order>; error: unknown }[] = [];
      const one = async (message: StreamMessage<Order>): Promise<void> => {
        try {
          await work(message.payload, message.ctx, () => Promise.resolve());
        } catch (error) {
          failed.push({ message, error });
        }
      };
      await Promise.all(messages.map(one));
      return { failed };
    }
  }
  return Billing;
}
