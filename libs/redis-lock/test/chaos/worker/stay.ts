import type { Lock } from '../../../src/index.js';
import { machineNow, type HoldSaid } from '../checker/log-entry.js';
import type { Witness } from '../witness.js';
import { Gate } from './gate.js';
import type { Wakefulness } from './wakefulness.js';

const lookEveryMs = 100;

/** What is the same in all that a holder says of one acquisition. */
export type HoldFacts = Pick<HoldSaid, 'worker' | 'key' | 'hold' | 'fence' | 'ttlMs'>;

/**
 * One time inside a lock, from `begin` to `end`, as the witness is told of it: entered, still inside now and then, and left, or lost.
 */
export class Stay {
  readonly #lost = new Gate();
  #heldUntil = 0;
  #written = Promise.resolve();
  #watch: NodeJS.Timeout | undefined;

  constructor(
    private readonly lock: Lock,
    private readonly facts: HoldFacts,
    private readonly witness: Witness,
    private readonly wakefulness: Wakefulness,
  ) {}

  /** Resolves when it is written. */
  async begin(): Promise<void> {
    this.lock.signal.addEventListener('abort', this.#onLoss, { once: true });
    this.#sayIfHeld('enter');
    await this.#written;
    // Never looks after the end of the last known lease: that the lock is lost then is to be told by the lock, not found out by asking.
    this.#watch = setInterval(() => {
      if (machineNow() < this.#heldUntil) this.look();
    }, lookEveryMs);
  }

  /** Resolves when the lock is lost. */
  lost(): Promise<void> {
    return this.#lost.opened();
  }

  /** Looks at once whether the lock is held, and says so. */
  look(): void {
    if (this.#watch !== undefined) this.#sayIfHeld('still'); // otherwise the signal has just aborted
  }

  /** Nothing is said of it any more once this has resolved. The lock is to be released then, not before. */
  async end(): Promise<void> {
    clearInterval(this.#watch);
    this.#watch = undefined;
    this.#sayIfHeld('exit');
    await this.#written;
    this.lock.signal.removeEventListener('abort', this.#onLoss);
  }

  readonly #onLoss = () => {
    this.#say('lost', machineNow(), { reason: reasonOf(this.lock), pauses: this.wakefulness.pauses() });
    this.#lost.open();
  };

  #sayIfHeld(what: HoldSaid['what']): void {
    // Before it looks: what is held when it looks was held then, however long the process stands still between the two.
    const lookedAt = machineNow();
    if (this.lock.isHeld) this.#say(what, lookedAt);
  }

  #say(what: HoldSaid['what'], lookedAt: number, about: Pick<HoldSaid, 'reason' | 'pauses'> = {}): void {
    this.#heldUntil = lookedAt + this.lock.remainingMs;
    const said = { what, ...this.facts, heldUntil: this.#heldUntil, ...about };
    this.#written = Promise.all([this.#written, this.witness.say(said, lookedAt)]).then(() => undefined);
  }
}

function reasonOf({ signal }: Lock): string {
  const reason: unknown = signal.reason;
  return reason instanceof Error && 'reason' in reason ? String(reason.reason) : String(reason);
}
