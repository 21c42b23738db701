import { Logger } from '@nestjs/common';
import { RedisUnavailableError } from '@redstart/redis-core';
import type { RateLimitReceipt } from '../decision.js';
import type { Slot } from '../slots/slot.js';
import type { CallOutcome, RefundRule } from './call-end.js';

/** A charge that the decorator may want back. */
export interface Refundable {
  readonly receipt: RateLimitReceipt;
  readonly refundOn: RefundRule;
}

/** Gives back what calls have held, once they have ended. Nobody waits for that any more, so what goes wrong is logged. */
export class GivenBack {
  readonly #logger = new Logger('RateLimit');
  readonly #refund: (receipt: RateLimitReceipt) => Promise<unknown>;

  constructor(refund: (receipt: RateLimitReceipt) => Promise<unknown>) {
    this.#refund = refund;
  }

  settle(outcome: CallOutcome, slot: Slot | undefined, refundable: readonly Refundable[]): void {
    const given = [slot?.release(), ...refundable.map((one) => this.#refundIfAsked(one, outcome))];
    for (const attempt of given)
      attempt?.catch((error: unknown) => {
        this.#report(error);
      });
  }

  async #refundIfAsked({ receipt, refundOn }: Refundable, outcome: CallOutcome): Promise<void> {
    if (await refundOn(outcome)) await this.#refund(receipt);
  }

  #report(error: unknown): void {
    // The connection has traced it, and a charge that stays lapses with its window.
    if (error instanceof RedisUnavailableError) return;
    this.#logger.error(
      'A call has ended, but what it held could not be given back.',
      error instanceof Error ? error.stack : error,
    );
  }
}
