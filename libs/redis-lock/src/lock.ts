import type { Duration } from '@redstart/redis-core';

/** A lock that was acquired. See {@link LockService.acquire}. */
export interface Lock extends AsyncDisposable {
  /** The Redis keys that are locked, sorted: one, or several of a multi-lock. */
  readonly keys: readonly string[];
  /** What makes this acquisition unique: 128 random bits. Whoever knows it could release the lock, so keep it out of logs. */
  readonly token: string;
  /**
   * Rises with every acquisition of the key, also when Redis has lost its data. Hand it to the resource and let that refuse anything lower
   * than it has seen: `UPDATE … SET fence = :token WHERE id = :id AND fence <= :token`. Compare it, don't interpret it.
   */
  readonly fencingToken: number;
  /** Aborts when the lock is lost, before anybody else can hold it; its reason is a {@link LockLostError}. Stays quiet after a release. */
  readonly signal: AbortSignal;
  /** Whether the lock is surely held at this very moment, by the clock: right even after the event loop stood still. */
  readonly isHeld: boolean;
  /** How long it is surely held without a renewal; 0 when it is not. */
  readonly remainingMs: number;
  /** @throws LockLostError unless {@link isHeld} */
  assertHeld(): void;
  /**
   * Gives the lock a full lease from now, never less than the call promises and never on top of what is left.
   *
   * @param ttl from now on also that of automatic renewals; by default the one that it was acquired with
   * @throws LockLostError when it is not held any more; it is not taken again · RedisUnavailableError (with `nodes` LockQuorumError) when Redis can't tell, and the
   *   lock is held until its old lease ends, or the new one if that is shorter
   * @see one EVALSHA: GET, PEXPIRE
   */
  extend(ttl?: Duration): Promise<void>;
  /**
   * Frees the lock and hands it to whoever has waited longest. Harms nobody when it was lost meanwhile. Calling it again sends nothing
   * and gives the same answer; so does the end of an `await using` block.
   *
   * @returns whether it was held until now; `false` is no error, but somebody else may have held it meanwhile
   * @throws RedisUnavailableError (with `nodes` LockQuorumError) when Redis can't be reached: the lease then lapses by itself
   * @see one EVALSHA: GET, DEL, or with waiters SET and PUBLISH
   */
  release(): Promise<boolean>;
}
