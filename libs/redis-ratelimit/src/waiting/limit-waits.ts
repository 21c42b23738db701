import { checkKnownKeys, durationMs, type Duration, type RedisConnection } from '@redstart/redis-core';
import type { RateLimitDecision } from '../decision.js';
import type { Admissions } from '../deciding/admissions.js';
import { lineOf } from '../deciding/charges.js';
import type { SubjectCharge } from '../deciding/decided.js';
import type { Slot } from '../slots/slot.js';
import type { Refund } from '../deciding/joint-decision.js';
import { WaitLines, type Attempt, type Entrance } from './wait-lines.js';

/** How long a call may wait, as its caller says. */
export interface WaitTimes {
  maxWait?: Duration;
  signal?: AbortSignal;
}

/** Slots come back without notice from other processes: who waits for one looks so often. */
const slotPollMs = 100;

/** Lets calls wait until their limits admit them. */
export class LimitWaits {
  readonly #lines: WaitLines;
  readonly #refund: Refund;

  /** @param refund for who was called off while Redis charged it */
  constructor(connection: Pick<RedisConnection, 'clock' | 'beforeClose'>, refund: Refund) {
    this.#lines = new WaitLines(connection.clock);
    this.#refund = refund;
    connection.beforeClose(() => this.#lines.close());
  }

  /** A slot is free again in this process. */
  wake(charges: readonly SubjectCharge[]): void {
    for (const charge of charges) this.#lines.wake(lineOf(charge));
  }

  /** Waits for a decision that allows. */
  forAllowed(
    admissions: Admissions,
    charge: SubjectCharge,
    operation: string,
    times: WaitTimes,
  ): Promise<RateLimitDecision> {
    return this.#wait(operation, charge, times, {
      attempt: async () => {
        const decision = await admissions.take(charge);
        return { got: decision.allowed ? decision : undefined, decision };
      },
      giveBack: async ({ receipt }) => {
        if (receipt !== undefined) await this.#refund(charge.policy, receipt);
      },
    });
  }

  /** Waits for a slot. */
  forSlot(admissions: Admissions, charge: SubjectCharge, operation: string, times: WaitTimes): Promise<Slot> {
    return this.#wait(operation, charge, times, {
      attempt: async () => {
        const {
          decisions: [decision],
          slot,
        } = await admissions.admit([charge]);
        if (decision === undefined) throw new TypeError('A charge has a decision.');
        return { got: slot, decision };
      },
      giveBack: async (slot) => {
        const { receipt } = slot.decision;
        const refund = receipt === undefined ? undefined : this.#refund(charge.policy, receipt);
        await Promise.all([slot.release(), refund]);
      },
    });
  }

  #wait<T>(
    operation: string,
    charge: SubjectCharge,
    times: WaitTimes,
    { attempt, giveBack }: { attempt: () => Promise<Omit<Attempt<T>, 'againInMs'>>; giveBack: Entrance<T>['giveBack'] },
  ): Promise<T> {
    checkKnownKeys(times, ['cost', 'maxWait', 'signal'], operation);
    const maxWaitMs = durationMs(times.maxWait ?? 0, `${operation}.maxWait`, { min: 0 });
    const entrance: Entrance<T> = {
      attempt: async () => {
        const tried = await attempt();
        return { ...tried, againInMs: againIn(tried.decision) };
      },
      giveBack,
    };
    return this.#lines.wait(lineOf(charge), { maxWaitMs, signal: times.signal }, entrance);
  }
}

/** A denial of a concurrency limit alone may end at any moment, as soon as somebody is ready. */
function againIn({ limits, retryAfterMs }: RateLimitDecision): number {
  const rates = limits.filter(({ kind, blocked }) => kind !== 'concurrency' || blocked);
  const slots = limits.length > rates.length;
  const ratesMs = Math.max(0, ...rates.map((limit) => limit.retryAfterMs));
  return slots ? Math.max(ratesMs, Math.min(retryAfterMs, slotPollMs * (0.5 + Math.random() / 2))) : retryAfterMs;
}
