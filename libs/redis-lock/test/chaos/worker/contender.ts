import { setTimeout as sleep } from 'node:timers/promises';
import { RedstartError } from '@redstart/redis-core';
import type { Lock, LockService } from '../../../src/index.js';
import type { Witness } from '../witness.js';
import { Gate } from './gate.js';
import type { Terms } from './orders.js';
import { Stay } from './stay.js';
import { Wakefulness } from './wakefulness.js';

/** How often this process has been inside, in whatever contest: so that each hold has a name of its own. */
let holds = 0;
/** In so many of its rounds a worker asks for both locks at once. */
const shareOfPairs = 0.5;
const wakefulness = new Wakefulness();

/**
 * One worker's part in the competition for a lock: waits for it, enters, works, leaves, and again. In half of its rounds it asks for the companion of that lock in the same tick:
 * so what a process merges into one call is merged here, and each of the two locks has to hold by itself.
 *
 * - *competing*: each time inside is short.
 * - *dwelling*: whoever is inside stays there, until it is told to let go or has lost the lock. In the companion nobody dwells.
 * - *resting*: for good. It waits no longer and holds nothing.
 */
export class Contender {
  readonly #resting = new AbortController();
  readonly #mayLeave = new Gate();
  readonly #stays = new Set<Stay>();
  readonly #ended: Promise<void>;

  constructor(
    private readonly name: string,
    private readonly locks: LockService,
    private readonly witness: Witness,
    private readonly terms: Terms,
    dwells: boolean,
  ) {
    if (!dwells) this.#mayLeave.open();
    this.#ended = this.#compete();
  }

  dwell(): void {
    this.#mayLeave.close();
  }

  letGo(): void {
    this.#mayLeave.open();
  }

  /** Looks at once whether its locks are held, and says so: before any timer or reply. */
  look(): void {
    for (const stay of this.#stays) stay.look();
  }

  async rest(): Promise<void> {
    this.#resting.abort();
    this.#mayLeave.open();
    await this.#ended;
  }

  async #compete(): Promise<void> {
    const { key, companion, workMs, pauseMs } = this.terms;
    while (!this.#resting.signal.aborted) {
      // The same for both, so that two that are granted by one answer are left in one tick as well.
      const forMs = Math.random() * workMs;
      const rounds = [this.#hold(key, () => sleep(forMs).then(() => this.#mayLeave.opened()))];
      if (Math.random() < shareOfPairs) rounds.push(this.#hold(companion, () => sleep(forMs)));
      await Promise.all(rounds);
      if (pauseMs > 0) await sleep(Math.random() * pauseMs);
    }
  }

  async #hold(key: string, work: () => Promise<unknown>): Promise<void> {
    const { ttlMs, waitTimeoutMs } = this.terms;
    const { signal } = this.#resting;
    try {
      const options = { ttl: ttlMs, waitTimeout: waitTimeoutMs, signal };
      await this.locks.withLock(key, options, (lock) => this.#stay(key, lock, work));
    } catch (error) {
      if (error === signal.reason) return;
      await this.#tell(key, error);
      await sleep(20 + Math.random() * 30);
    }
  }

  async #stay(key: string, lock: Lock, work: () => Promise<unknown>): Promise<void> {
    holds += 1;
    const hold = `${this.name}#${holds}`;
    const facts = { worker: this.name, key, hold, fence: lock.fencingToken, ttlMs: this.terms.ttlMs };
    const stay = new Stay(lock, facts, this.witness, wakefulness);
    this.#stays.add(stay);
    await stay.begin();
    await Promise.race([work(), stay.lost()]);
    await stay.end();
    this.#stays.delete(stay);
  }

  async #tell(key: string, error: unknown): Promise<void> {
    const code = error instanceof RedstartError ? error.code : 'UNEXPECTED';
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    await this.witness.say({ what: 'failed', worker: this.name, key, code, message });
  }
}
