import { inspect } from 'node:util';

export interface NumberedOrder<Order> {
  readonly id: number;
  readonly order: Order;
}

/** An answer to an order, or something that must never happen. */
export type Answer =
  { readonly id: number; readonly failure?: string } | { readonly complaint: string } | { readonly ready: true };

/**
 * In the process: carries out what its `OrderedProcess` says, one order beside the other, and complains of what nobody handles. It ends with its parent, however that ends.
 *
 * @param carryOut takes the orders that the `OrderedProcess` is typed with
 */
export function obey(carryOut: (order: never) => Promise<void>): void {
  for (const event of ['unhandledRejection', 'uncaughtException']) {
    process.on(event, (reason: unknown) => {
      answer({ complaint: `${event}: ${inspect(reason)}` }, () => process.exit(70));
    });
  }
  process.on('disconnect', () => process.exit());
  process.on('message', (message) => {
    // Only the parent has the other end of the channel.
    const { id, order } = message as NumberedOrder<never>;
    carryOut(order).then(
      () => {
        answer({ id });
      },
      (error: unknown) => {
        answer({ id, failure: inspect(error) });
      },
    );
  });
  answer({ ready: true });
}

function answer(words: Answer, then: () => void = () => undefined): void {
  process.send?.(words, then);
}
