interface Waiting {
  readonly owner: string;
  alive: boolean;
}

/** What a read/write lock is to do, without Redis: who is in, who waits, and who was let in without having asked just now. */
export class ReadWriteModel {
  writer: string | undefined;
  readonly readers = new Set<string>();
  /** Writers, in the order in which they came. */
  queue: Waiting[] = [];
  waitingReaders: Waiting[] = [];
  /** Who was told so. */
  readonly pushed: string[] = [];

  constructor(private readonly hears: (owner: string) => boolean) {}

  holds(owner: string): boolean {
    return this.writer === owner || this.readers.has(owner);
  }

  /** @returns whether it is in */
  read(owner: string, queue: boolean, beside: string | undefined): boolean {
    if (!this.readers.has(owner) && !(beside !== undefined && this.readers.has(beside))) {
      const free = this.#free;
      if (free) this.#handOff();
      if (this.writer !== undefined || (!free && this.#writerWaits)) {
        if (queue) this.#keepAlive(this.waitingReaders, owner);
        return false;
      }
      this.waitingReaders = without(this.waitingReaders, owner);
      this.readers.add(owner);
      this.#admitReaders();
      return true;
    }
    this.waitingReaders = without(this.waitingReaders, owner);
    this.readers.add(owner);
    return true;
  }

  /** @returns whether it is in */
  write(owner: string, queue: boolean): boolean {
    if (this.writer === owner) return true;
    if (this.#free) this.#handOff(owner);
    if (this.#free) {
      this.writer = owner;
      return true;
    }
    if (queue) this.#keepAlive(this.queue, owner);
    return false;
  }

  /** @returns whether it was in */
  release(owner: string): boolean {
    if (!this.#remove(owner)) return false;
    this.#admit();
    return true;
  }

  giveUp(owner: string): void {
    this.queue = without(this.queue, owner);
    this.waitingReaders = without(this.waitingReaders, owner);
    this.#remove(owner);
    this.#admit();
  }

  /** @returns whether it reads now */
  downgrade(owner: string): boolean {
    if (this.writer === owner) this.writer = undefined;
    else if (!this.readers.has(owner)) return false;
    this.readers.add(owner);
    this.#admit();
    return true;
  }

  /** Its lease is over; nobody has noticed yet. */
  lapse(owner: string): void {
    this.#remove(owner);
    for (const waiting of [...this.queue, ...this.waitingReaders]) if (waiting.owner === owner) waiting.alive = false;
  }

  get #free(): boolean {
    return this.writer === undefined && this.readers.size === 0;
  }

  get #writerWaits(): boolean {
    return this.queue.some(({ alive }) => alive);
  }

  #remove(owner: string): boolean {
    if (this.writer !== owner) return this.readers.delete(owner);
    this.writer = undefined;
    return true;
  }

  #keepAlive(list: Waiting[], owner: string): void {
    const found = list.find((waiting) => waiting.owner === owner);
    if (found === undefined) list.push({ owner, alive: true });
    else found.alive = true;
  }

  #admit(): void {
    if (this.#free) this.#handOff();
    if (this.writer === undefined && (this.readers.size === 0 || !this.#writerWaits)) this.#admitReaders();
  }

  /** The writer that came first of those who live and hear; those before it who are dead are forgotten. Stops at the caller. */
  #handOff(caller?: string): void {
    const kept: Waiting[] = [];
    while (this.queue.length > 0) {
      const first = this.queue.shift();
      if (first === undefined || first.owner === caller) break;
      if (first.alive && this.hears(first.owner)) {
        this.writer = first.owner;
        this.pushed.push(first.owner);
        break;
      }
      if (first.alive) kept.push(first);
    }
    this.queue = [...kept, ...this.queue];
  }

  #admitReaders(): void {
    const alive = this.waitingReaders.filter((waiting) => waiting.alive);
    for (const { owner } of alive.filter((waiting) => this.hears(waiting.owner))) {
      this.readers.add(owner);
      this.pushed.push(owner);
    }
    this.waitingReaders = alive.filter((waiting) => !this.hears(waiting.owner));
  }
}

function without(list: readonly Waiting[], owner: string): Waiting[] {
  return list.filter((waiting) => waiting.owner !== owner);
}
