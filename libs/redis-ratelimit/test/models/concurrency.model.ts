import { LimitModel } from './limit.model.js';

/** Each call under way has a slot until its lease ends; who has one and asks again keeps it, for a full lease. */
export class ConcurrencyModel extends LimitModel {
  protected readonly capacity: bigint;
  readonly #leaseUs: bigint;
  #slots: ReadonlyMap<string, bigint> = new Map();

  constructor({ limit, leaseMs }: { limit: number; leaseMs: number }) {
    super();
    this.capacity = BigInt(limit);
    this.#leaseUs = BigInt(leaseMs) * 1_000n;
  }

  fits(atUs: bigint, cost: bigint, id: string): boolean {
    const slots = this.#underWay(atUs);
    return cost === 0n || slots.has(id) || BigInt(slots.size) < this.capacity;
  }

  isEmpty(atUs: bigint): boolean {
    return this.#underWay(atUs).size === 0;
  }

  keep(atUs: bigint): void {
    this.#slots = this.#underWay(atUs);
  }

  admit(atUs: bigint, _cost: bigint, id: string): void {
    this.#slots = new Map([...this.#underWay(atUs), [id, atUs + this.#leaseUs]]);
  }

  /** Whatever a call costs, it has one slot. */
  override remaining(atUs: bigint): bigint {
    return this.capacity - BigInt(this.#underWay(atUs).size);
  }

  #underWay(atUs: bigint): Map<string, bigint> {
    return new Map([...this.#slots].filter(([, endsUs]) => endsUs > atUs));
  }
}
