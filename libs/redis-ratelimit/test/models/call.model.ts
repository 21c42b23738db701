import type { Limit } from '../../src/algorithms/algorithms.js';
import type { LimitModel } from './limit.model.js';

/** One limit of the calls that a model decides. */
export interface ModelledLimit {
  readonly limit: Limit;
  readonly model: LimitModel;
  readonly enforce: boolean;
  readonly blockUs: number;
}

/** What a limit is expected to say. `retryUs` is `Infinity` for never. */
export interface Expected {
  readonly allowed: boolean;
  readonly blocked: boolean;
  readonly remaining: number;
  readonly retryUs: number;
  readonly resetUs: number;
}

/** Several limits that decide calls together: each is charged, or none. A limit in shadow says what it would have done, and is charged for what it would have admitted. */
export class CallModel {
  readonly #blockedUntilUs: bigint[];

  constructor(private readonly limits: readonly ModelledLimit[]) {
    this.#blockedUntilUs = limits.map(() => 0n);
  }

  decide(atUs: bigint, costs: readonly bigint[], take: boolean, id: string): Expected[] {
    const waits = this.limits.map(({ model }, index) =>
      this.#wait(index, atUs, model.wait(atUs, costs[index] ?? 0n, id)),
    );
    const admitted = this.limits.every(({ enforce }, index) => waits[index] === 0n || !enforce);
    return this.limits.map(({ model, enforce, blockUs }, index): Expected => {
      const cost = costs[index] ?? 0n;
      let wait = waits[index];
      if (take && cost > 0n && admitted && wait === 0n) {
        model.admit(atUs, cost, id);
        this.#blockedUntilUs[index] = 0n;
      }
      const startsBlock =
        enforce && blockUs > 0 && wait !== undefined && wait > 0n && this.#blocked(index, atUs) === 0n;
      if (take && cost > 0n && startsBlock) {
        model.keep(atUs);
        this.#blockedUntilUs[index] = atUs + BigInt(blockUs);
        wait = this.#wait(index, atUs, wait);
      }
      const blocked = this.#blocked(index, atUs);
      const reset = model.reset(atUs);
      return {
        allowed: wait === 0n,
        blocked: wait !== 0n && blocked > 0n,
        remaining: blocked > 0n ? 0 : Number(model.remaining(atUs)),
        retryUs: wait === undefined ? Infinity : Number(wait),
        resetUs: Number(blocked > reset ? blocked : reset),
      };
    });
  }

  #wait(index: number, atUs: bigint, wait: bigint | undefined): bigint | undefined {
    const blocked = this.#blocked(index, atUs);
    return wait === undefined || wait > blocked ? wait : blocked;
  }

  /** For how long. */
  #blocked(index: number, atUs: bigint): bigint {
    const left = (this.#blockedUntilUs[index] ?? 0n) - atUs;
    return left > 0n ? left : 0n;
  }
}
