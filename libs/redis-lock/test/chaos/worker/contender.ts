import { setTimeout as sleep } from 'node:timers/promises';
import { RedstartError } from '@redstart/redis-core';
import type { Lock, LockService } from '../../../src/index.js';
import { machineNow, type HoldSaid } from '../checker/log-entry.js';
import type { Witness } from '../witness.js';
import { Gate } from './gate.js';
import type { Terms } from './orders.js';

const lookEveryMs = 100;
/** How often this process has been inside, in whatever contest: so that each hold has a name of its own. */
let holds = 0;

/**
 * One worker's part in the competition for one lock: waits for it, enters, works, leaves, and again.
 *
 * - *competing*: each time inside is short.
 * - *dwelling*: whoever is inside stays there, until it is told to let go or has lost the lock.
 * - *resting*: for good. It waits no longer and holds nothing.
 */
export class Contender {
  readonly #resting = new AbortController();
  readonly #mayLeave = new Gate();
  readonly #ended: Promise<void>;
  #look: (() => void) | undefined;

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

  /** Looks at once whether the lock is held, and says so: before any timer or reply. */
  look(): void {
    this.#look?.();
  }

  async rest(): Promise<void> {
    this.#resting.abort();
    this.#mayLeave.open();
    await this.#ended;
  }

  async #compete(): Promise<void> {
    const { key, ttlMs, waitTimeoutMs } = this.terms;
    const { signal } = this.#resting;
    while (!signal.aborted) {
      try {
        const options = { ttl: ttlMs, waitTimeout: waitTimeoutMs, signal };
        await this.locks.withLock(key, options, (lock) => this.#inside(lock));
      } catch (error) {
        if (error === signal.reason) return;
        await this.#tell(error);
        await sleep(20 + Math.random() * 30);
      }
    }
  }

  async #inside(lock: Lock): Promise<void> {
    holds += 1;
    const { key, ttlMs, workMs } = this.terms;
    const facts = { worker: this.name, key, hold: `${this.name}#${holds}`, fence: lock.fencingToken, ttlMs };
    let heldUntil = 0;
    let written = Promise.resolve();
    const say = (what: HoldSaid['what'], reason?: string) => {
      const lookedAt = machineNow();
      heldUntil = lookedAt + lock.remainingMs;
      const said = { what, ...facts, heldUntil, ...(reason !== undefined && { reason }) };
      written = Promise.all([written, this.witness.say(said, lookedAt)]).then(() => undefined);
    };
    const lost = new Gate();
    const onLoss = () => {
      say('lost', reasonOf(lock));
      lost.open();
    };
    lock.signal.addEventListener('abort', onLoss, { once: true });
    if (lock.isHeld) say('enter');
    await written;

    this.#look = () => {
      if (lock.isHeld) say('still'); // otherwise the signal has just aborted
    };
    // Never looks after the end of the last known lease: that the lock is lost then is to be told by the lock, not found out by asking.
    const watch = setInterval(() => {
      if (machineNow() < heldUntil) this.#look?.();
    }, lookEveryMs);
    await Promise.race([sleep(Math.random() * workMs).then(() => this.#mayLeave.opened()), lost.opened()]);
    clearInterval(watch);
    this.#look = undefined;

    if (lock.isHeld) say('exit');
    await written;
    lock.signal.removeEventListener('abort', onLoss);
  }

  async #tell(error: unknown): Promise<void> {
    const code = error instanceof RedstartError ? error.code : 'UNEXPECTED';
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const said = { what: 'failed', worker: this.name, key: this.terms.key, code, message } as const;
    await this.witness.say(said);
  }
}

function reasonOf({ signal }: Lock): string {
  const reason: unknown = signal.reason;
  return reason instanceof Error && 'reason' in reason ? String(reason.reason) : String(reason);
}
