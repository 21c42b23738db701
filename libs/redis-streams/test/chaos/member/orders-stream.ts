import { defineStream, event, type PublishOptions } from '../../../src/index.js';

/** What becomes of a message at its handler. */
export type Fate = 'works' | 'fails once' | 'fails for good';

export interface Order {
  /** Which fault it is published under: names its part of the ledger. */
  readonly wave: string;
  /** Unique within the wave, `<producer>-<number>`. */
  readonly message: string;
  readonly fate: Fate;
}

/** The same payload under four types, which differ in their handlers: at least once, many at a time, once by the inbox, and exactly once by a commit. */
export const orders = defineStream('orders', {
  events: {
    'order.placed': event<Order>(),
    'order.packed': event<Order>(),
    'order.paid': event<Order>(),
    'order.shipped': event<Order>(),
  },
});
export type OrderType = keyof typeof orders.events;
export const group = 'billing';
export const ordersTag = '{orders}';
export const ordersKey = `shop:stream:${ordersTag}`;

/** Of the messages that are delayed. */
const delayMs = 150;

/** Where the committed effects of a wave are counted, by message. */
export function effectsKey(hashTag: string, wave: string): string {
  return `shop:effects:${hashTag}:${wave}`;
}

export function typeOf(number: number): OrderType {
  const digit = number % 10;
  if (digit === 4) return 'order.paid';
  if (digit === 8 || digit === 9) return 'order.packed';
  return digit === 0 || digit === 5 ? 'order.shipped' : 'order.placed';
}

/** How often the effect of a message may take place, where its handler promises more than at least once. */
export function effectOf(type: OrderType): 'by commit' | 'by inbox' | undefined {
  if (type === 'order.shipped') return 'by commit';
  return type === 'order.paid' ? 'by inbox' : undefined;
}

/** What fails once is tried again; what fails for good belongs to the dead letters at once. Each of every type: neither number has a divisor in common with ten. */
export function fateOf(number: number): Fate {
  if (number % 251 === 7) return 'fails for good';
  return number % 47 === 3 ? 'fails once' : 'works';
}

/** Every tenth message has no id of its own: its publication is never repeated. About every fortieth is delayed. */
export function publishOptionsOf(number: number, messageId: string): PublishOptions & { delay?: number } {
  if (number % 10 === 1) return {};
  return number % 41 === 12 ? { messageId, delay: delayMs } : { messageId };
}
