import { RedisUnavailableError } from '@redstart/redis-core';
import type { LockKeys } from '../keys.js';
import type { LockRuntime } from '../lock-runtime.js';
import type { NodeRefusals } from './node-refusals.js';
import { quorumAcquire, type NodeReply } from './scripts/quorum-acquire.js';
import { quorumFence } from './scripts/quorum-fence.js';
import { quorumRelease } from './scripts/quorum-release.js';

/**
 * What one owner has at one node of a quorum: all of the locks, or none.
 *
 * - *absent*: nothing of the owner is there, for sure: nothing was sent, or the node refused it, or a release was answered.
 * - *perhaps there*: from the moment at which an acquire is sent, whatever becomes of its answer. A release clears it.
 */
export class NodeLease {
  readonly name: string;
  #absent = true;
  /** Every acquire that is under way. A release waits for them: overtaken by one, it would leave a lease that nobody knows of. */
  #acquiring: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly node: LockRuntime,
    private readonly locks: readonly LockKeys[],
    private readonly owner: string,
    private readonly refusals: NodeRefusals,
  ) {
    this.name = node.connection.name;
  }

  /**
   * @param fence the fencing token, when it is known already; 0 otherwise
   * @throws RedisUnavailableError when the node can't be reached, or has lost its memory and takes no part yet
   */
  acquire(ttlMs: number, fence: number): Promise<NodeReply> {
    const answer = this.#told(this.#acquire(ttlMs, fence));
    this.#acquiring = Promise.allSettled([this.#acquiring, answer]);
    return answer;
  }

  /** Makes the node remember the fencing token, if the owner is still there. */
  remember(fence: number, ttlMs: number): Promise<boolean> {
    return this.#told(quorumFence(this.node, this.locks, this.owner, ttlMs, fence));
  }

  /** Sent before this returns, so that the extensions of a process leave together. */
  async extend(ttlMs: number): Promise<boolean> {
    const extensions = this.locks.map(({ holder }) =>
      this.node.extensions.extend({ key: holder, owner: this.owner, ttlMs }),
    );
    const extended = await this.#told(Promise.all(extensions));
    return !extended.includes(false);
  }

  /** Whether the owner was there. Sends nothing when it surely is not. */
  async release(keepMs: () => number, ttlMs: number): Promise<boolean> {
    await this.#acquiring;
    if (this.#absent) return false;
    const released = await this.#told(quorumRelease(this.node, this.locks, this.owner, ttlMs, keepMs()));
    this.#absent = true;
    return released;
  }

  async #acquire(ttlMs: number, fence: number): Promise<NodeReply> {
    const wasAbsent = this.#absent;
    this.#absent = false;
    try {
      const reply = await quorumAcquire(this.node, this.locks, this.owner, ttlMs, fence);
      if (reply.acquired) return reply;
      this.#absent = wasAbsent;
      if (reply.absentMs > 0) throw this.#forgetful(reply.absentMs);
      return reply;
    } catch (error) {
      if (error instanceof RedisUnavailableError && error.outcome === 'not-executed') this.#absent = wasAbsent;
      throw error;
    }
  }

  async #told<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      this.refusals.tell(this.name, this.locks[0]?.holder ?? '', error);
      throw error;
    }
  }

  #forgetful(absentMs: number): RedisUnavailableError {
    const { place } = this.node.connection;
    const message = `lock.quorum-acquire: ${place} remembers nothing of earlier locks (new, emptied or restarted), and takes no part for ${absentMs} ms.`;
    return new RedisUnavailableError(message, 'not-executed');
  }
}
