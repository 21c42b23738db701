import type { Duration, Renewal } from '@redstart/redis-core';
import { askAgain } from './ask-again.js';
import type { HeldLockState } from './held-lock-state.js';
import type { Expiring } from './held-locks.js';
import type { Lease } from './lease.js';
import { LeaseDeadline } from './lease-deadline.js';
import { leaseEnd } from './lease-time.js';
import { isOutOfReach } from './out-of-reach.js';
import { LockLostError, type LockLossReason } from './lock.errors.js';
import type { LockRuntime } from './lock-runtime.js';
import type { Holding } from './reentrancy/holding.js';
import { lockTtlMs } from './lock.options.js';
import type { LockStory } from './telemetry/lock-story.js';

/**
 * A lock from its acquisition to its end.
 *
 * - *held*: until `validUntil`, which every confirmed extension moves, and one to a shorter lease already when it is sent. A timer stands there,
 *   so the lock is lost at that moment whether a renewal hangs or not; after a stall of the event loop, whoever looks first finds out.
 * - *lost*: by that deadline, by an answer of Redis, by the end of its longest hold, or by the end of the application. The signal aborts. Final: a late confirmation
 *   doesn't bring it back, and what it leaves in Redis is cleared.
 * - *released*: by `release`, or by `convert`, after which another object stands for the same owner. Nothing is renewed any more.
 */
export class HeldLock implements Holding, Expiring {
  /** For the renewer and for errors. */
  readonly key: string;
  /** In the gathering of what is held. */
  place = -1;
  readonly token: string;
  readonly fencingToken: number;
  readonly #runtime: LockRuntime;
  readonly #parts: readonly Lease[];
  readonly #deadline: LeaseDeadline;
  /** Most locks are never asked for their keys. */
  #keys: readonly string[] | undefined;
  readonly #minHoldUntil: number;
  readonly #maxHoldUntil: number;
  readonly #story: LockStory;
  #ttlMs: number;
  #loss: LockLostError | undefined;
  #releasing: Promise<boolean> | undefined;
  /** Under way or ended: whether it has become something else, which stands in its stead then. */
  #conversion: Promise<boolean> | undefined;
  #successor: HeldLock | undefined;
  /** Most locks are never asked for their signal. */
  #abort: AbortController | undefined;
  #renewal: Renewal | undefined;

  constructor(runtime: LockRuntime, state: HeldLockState) {
    this.#runtime = runtime;
    this.#parts = state.parts;
    this.#ttlMs = state.ttlMs;
    this.#minHoldUntil = state.minHoldUntil;
    this.#maxHoldUntil = state.maxHoldUntil;
    this.#story = state.story;
    this.#keys = state.keys && Object.freeze(state.keys);
    this.key = state.keys?.[0] ?? state.parts[0]?.key ?? '';
    this.token = state.token;
    this.fencingToken = state.fencingToken;
    this.#deadline = new LeaseDeadline(runtime.clock, state.maxHoldUntil, () => {
      runtime.held.watch(this);
    });
    this.#deadline.set(state.validUntil);
    if (state.autoExtend) this.#startRenewing();
    this.#story.acquired();
  }

  get keys(): readonly string[] {
    return (this.#keys ??= Object.freeze(this.#parts.map(({ key }) => key)));
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#loss !== undefined) this.#abort.abort(this.#loss);
    }
    return this.#abort.signal;
  }

  get ttlMs(): number {
    return this.#ttlMs;
  }

  get isHeld(): boolean {
    return this.loss === undefined && this.#releasing === undefined;
  }

  get isReleased(): boolean {
    return this.#releasing !== undefined;
  }

  /** Why it was lost, if it was; found out by the clock when no timer could. */
  get loss(): LockLostError | undefined {
    if (this.#active && this.#deadline.hasPassed) this.#lose(this.#lossByClock);
    return this.#loss;
  }

  get validUntil(): number {
    return this.#deadline.validUntil;
  }

  expire(): void {
    this.#lose(this.#lossByClock);
  }

  get remainingMs(): number {
    return this.isHeld ? Math.max(0, Math.floor(this.#deadline.validUntil - this.#runtime.clock.now())) : 0;
  }

  assertHeld(): void {
    if (this.isHeld) return;
    throw this.#loss ?? new LockLostError(this.key, 'released');
  }

  async extend(ttl?: Duration): Promise<void> {
    const ttlMs = ttl === undefined ? this.#ttlMs : lockTtlMs(ttl, 'lock.extend(ttl)');
    this.assertHeld();
    await this.#extend(ttlMs);
    this.assertHeld();
    if (ttlMs === this.#ttlMs) return;
    this.#ttlMs = ttlMs;
    if (this.#renewal !== undefined) this.#startRenewing();
  }

  /** One automatic renewal. An outage is no failure: the next one tries again, and the deadline stands. */
  async renew(): Promise<void> {
    if (this.isHeld) await this.#extend(this.#ttlMs).catch(ignoreOutage);
  }

  /** Turns the short claim of a hand-over into a full lease. Insists, because the next automatic renewal may be too late. */
  confirm(): void {
    const confirmWithinMs = this.#deadline.validUntil - this.#runtime.clock.now();
    this.#runtime.insist(async () => {
      if (this.isHeld) await this.#extend(this.#ttlMs);
    }, confirmWithinMs);
  }

  release(): Promise<boolean> {
    this.#releasing ??= this.#release();
    return this.#releasing;
  }

  /** This, or what it was converted into. */
  get current(): HeldLock {
    return this.#successor?.current ?? this;
  }

  /** The same, once a conversion that is under way has ended. */
  async latest(): Promise<HeldLock> {
    await this.#conversion;
    return this.current;
  }

  /**
   * Goes on as a weaker hold of the same owner. This object ends when that is sent, because Redis may have carried it out from then on.
   *
   * @param change carries it out for a lease of `ttlMs`, and says whether the owner still held it; it may be repeated
   * @throws LockLostError · RedisUnavailableError when Redis can't tell; the owner then lets go of both
   */
  convert(part: Lease, change: (ttlMs: number) => Promise<boolean>): Promise<HeldLock> {
    this.assertHeld();
    const autoExtend = this.#renewal !== undefined;
    this.#end();
    const conversion = this.#convert(part, change, autoExtend);
    this.#releasing = this.#conversion = conversion.then(
      () => true,
      () => false,
    );
    return conversion;
  }

  /** Ends this object without touching Redis: another one stands for the same owner from now on. */
  dismiss(): void {
    this.#releasing = Promise.resolve(true);
    this.#end();
  }

  /** Gives it back before anybody has got it, so no minimum hold counts. */
  abandon(): void {
    if (!this.#active) return;
    this.dismiss();
    this.#leave((part) => part.giveUp());
  }

  /** The application ends: the holder is told, then the lock is given back. */
  async surrender(): Promise<void> {
    if (!this.#active) return;
    this.#lose('shutdown');
    await this.release().catch(ignoreOutage);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  get #active(): boolean {
    return this.#loss === undefined && this.#releasing === undefined;
  }

  async #extend(ttlMs: number): Promise<void> {
    const sentAt = this.#deadline.extending(ttlMs);
    let extended: readonly boolean[];
    try {
      extended = await Promise.all(this.#parts.map((part) => part.extend(ttlMs)));
    } catch (error) {
      // Of one that is over already its end has been told.
      if (this.isHeld) this.#story.extendFailed();
      throw error;
    }
    if (!this.isHeld) return; // Too late: the signal has aborted already, or the holder has let go.
    if (extended.includes(false)) {
      this.#lose(this.#lossReason ?? 'taken');
      return;
    }
    this.#story.extended();
    this.#deadline.extended(sentAt, ttlMs);
  }

  async #convert(part: Lease, change: (ttlMs: number) => Promise<boolean>, autoExtend: boolean): Promise<HeldLock> {
    const ttlMs = this.#ttlMs;
    const { token, fencingToken } = this;
    const send = async () => ({ sentAt: this.#runtime.clock.now(), converted: await change(ttlMs) });
    try {
      const { answer } = await askAgain(send);
      if (!answer.converted) throw new LockLostError(this.key, 'taken');
      this.#successor = new HeldLock(this.#runtime, {
        parts: [part],
        token,
        fencingToken,
        ttlMs,
        validUntil: leaseEnd(answer.sentAt, ttlMs),
        autoExtend,
        minHoldUntil: this.#minHoldUntil,
        maxHoldUntil: this.#maxHoldUntil,
        story: this.#story,
      });
      return this.#successor;
    } catch (error) {
      if (error instanceof LockLostError) this.#story.lost('taken');
      else this.#story.releaseFailed();
      this.#leave((side) => this.#letGo(side), [...this.#parts, part]);
      throw error;
    }
  }

  async #release(): Promise<boolean> {
    const heldBefore = this.isHeld;
    this.#end();
    let released: boolean;
    try {
      released = await this.#releaseAll(heldBefore);
    } catch (error) {
      this.#story.releaseFailed();
      throw error;
    }
    const wasHeld = heldBefore && released;
    if (heldBefore && !wasHeld) this.#story.lost('taken');
    this.#story.released(wasHeld);
    return wasHeld;
  }

  /** Whether all of them were still the owner's. */
  #releaseAll(heldBefore: boolean): Promise<boolean> {
    const [first, second] = this.#parts;
    if (first !== undefined && second === undefined) return this.#releaseOne(first, heldBefore);
    return Promise.all(this.#parts.map((part) => this.#releaseOne(part, heldBefore))).then(
      (released) => !released.includes(false),
    );
  }

  /** The answer to a release may get lost; then the second one says "not held", although the first one did it. */
  async #releaseOne(part: Lease, heldBefore: boolean): Promise<boolean> {
    const { answer, repeated } = await askAgain(() => part.release(this.#keepMs));
    return repeated ? heldBefore : answer;
  }

  #lose(reason: LockLossReason): void {
    if (!this.#active) return;
    this.#loss = new LockLostError(this.key, reason);
    this.#story.lost(reason);
    this.#end();
    this.#abort?.abort(this.#loss);
    this.#leave((part) => this.#letGo(part));
  }

  #leave(letGo: (part: Lease) => Promise<unknown>, parts = this.#parts): void {
    for (const part of parts) this.#runtime.insist(() => letGo(part), this.#ttlMs);
  }

  #letGo(part: Lease): Promise<unknown> {
    return this.#keepMs > 0 ? part.release(this.#keepMs) : part.giveUp();
  }

  #end(): void {
    this.#renewal?.stop();
    this.#renewal = undefined;
    this.#runtime.held.delete(this);
  }

  #startRenewing(): void {
    this.#renewal?.stop();
    this.#renewal = this.#runtime.connection.leases.track(this.#runtime.renewals, this, this.#ttlMs / 3);
  }

  /** For how long it has to stay taken, held or lost. */
  get #keepMs(): number {
    if (this.#minHoldUntil === -Infinity) return 0;
    return Math.max(0, Math.ceil(this.#minHoldUntil - this.#runtime.clock.now()));
  }

  /** Which of the two came first: after a stall of the event loop both may have passed. */
  get #lossByClock(): LockLossReason {
    return this.#deadline.isLatest ? 'max-hold' : (this.#lossReason ?? 'deadline');
  }

  get #lossReason(): LockLossReason | undefined {
    return this.#parts.find(({ lossReason }) => lossReason !== undefined)?.lossReason;
  }
}

/** Published on `redstart:operation` already. Anything else than an outage is passed on: the renewer logs it, the shutdown fails of it. */
function ignoreOutage(error: unknown): void {
  if (!isOutOfReach(error)) throw error;
}
