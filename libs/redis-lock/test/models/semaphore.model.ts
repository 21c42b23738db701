interface Waiting {
  readonly owner: string;
  readonly count: number;
  alive: boolean;
}

/** What a semaphore is to do, without Redis: whose permits are out, who waits, and who was given permits without having asked just now. */
export class SemaphoreModel {
  readonly out = new Map<string, number>();
  queue: Waiting[] = [];
  /** Who was told so. */
  readonly pushed: string[] = [];

  constructor(
    public limit: number,
    private readonly hears: (owner: string) => boolean,
  ) {}

  get taken(): number {
    return [...this.out.values()].reduce((sum, count) => sum + count, 0);
  }

  holds(owner: string): boolean {
    return this.out.has(owner);
  }

  /** @returns whether it has its permits; `wrong limit` when others go by another one */
  acquire(owner: string, count: number, limit: number, queue: boolean): boolean | 'wrong limit' {
    if (limit !== this.limit) {
      if (this.out.size > 0 || this.queue.some(({ alive }) => alive)) return 'wrong limit';
      this.limit = limit;
    }
    if (this.out.has(owner)) return true;
    if (this.#admit(owner) >= count) {
      this.out.set(owner, count);
      this.#leave(owner);
      this.#admit();
      return true;
    }
    if (!queue) return false;
    const found = this.queue.find((waiting) => waiting.owner === owner);
    if (found === undefined) this.queue.push({ owner, count, alive: true });
    else found.alive = true;
    return false;
  }

  /** @returns whether its permits were out */
  release(owner: string): boolean {
    if (!this.out.delete(owner)) return false;
    this.#admit();
    return true;
  }

  giveUp(owner: string): void {
    this.#leave(owner);
    this.out.delete(owner);
    this.#admit();
  }

  /** Its lease is over; nobody has noticed yet. */
  lapse(owner: string): void {
    this.out.delete(owner);
    for (const waiting of this.queue) if (waiting.owner === owner) waiting.alive = false;
  }

  #leave(owner: string): void {
    this.queue = this.queue.filter((waiting) => waiting.owner !== owner);
  }

  /** In their order, and nobody past one who wants more than there is. @returns what is left when it is the caller's turn */
  #admit(caller?: string): number {
    const passedOver: Waiting[] = [];
    let left = this.limit - this.taken;
    for (let turn: Waiting | undefined; left > 0;) {
      turn = this.queue.shift();
      if (turn === undefined) break;
      if (turn.owner === caller || (turn.alive && turn.count > left)) {
        this.queue.unshift(turn);
        if (turn.owner !== caller) left = 0;
        break;
      }
      if (!turn.alive) continue;
      if (!this.hears(turn.owner)) {
        passedOver.push(turn);
        continue;
      }
      this.out.set(turn.owner, turn.count);
      this.pushed.push(turn.owner);
      left -= turn.count;
    }
    this.queue.unshift(...passedOver);
    return left;
  }
}
