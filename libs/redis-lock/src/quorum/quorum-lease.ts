import type { LockKeys } from '../keys.js';
import type { Lease } from '../lease.js';
import { leaseEnd } from '../lease-time.js';
import type { LockLossReason } from '../lock.errors.js';
import type { LockRuntime } from '../lock-runtime.js';
import { fullJitter } from './full-jitter.js';
import { NodeLease } from './node-lease.js';
import { mayPass, type NodeRefusals } from './node-refusals.js';
import { quorumError } from './causes.js';
import { poll, type Poll, type Vote } from './votes.js';

/** One round of taking a lock: it was won, or this is why not. */
export type Round =
  | { readonly won: true; readonly fencingToken: number; readonly validUntil: number }
  | {
      readonly won: false;
      readonly poll: Poll;
      /** It went through, but so slowly that too little of the lease is left. */
      readonly late: boolean;
      /** The lock that somebody else had at a node, and who. */
      readonly held: { readonly key: string; readonly holder: string | undefined } | undefined;
      /** The highest fencing token that was seen or written; a later round goes on above it. */
      readonly fence: number;
    };

/**
 * What one owner has at a quorum of independent nodes: Redlock. https://redis.io/docs/latest/develop/use/patterns/distributed-locks/
 *
 * - *being taken*: by `take`, once. Every node is asked at the same time; a quorum of them has to grant all of the locks, and to remember the fencing
 *   token, while at least half of the lease is left.
 * - *held*: a quorum has it. Nodes that are missing are asked again in the background, and so are those that lost it, but only while the lease is
 *   surely valid: after that, what is free may have been somebody else's meanwhile.
 * - *ended*: by `release` or `giveUp`, from held as from a failed `take`. Nothing is taken any more, and every node that may have it is told, again and again
 *   until it has answered or the lease has lapsed there.
 */
export class QuorumLease implements Lease {
  readonly key: string;
  readonly #runtime: LockRuntime;
  readonly #locks: readonly LockKeys[];
  readonly #nodes: readonly NodeLease[];
  readonly #joining = new Set<NodeLease>();
  #ttlMs = 0;
  /** No node is known to have seen a higher token. Answers that come after the verdict may still raise it. */
  #highestFence = 0;
  /** The token of the lock. */
  #fence = 0;
  /** Until when the lease is surely valid, on the runtime's clock. */
  #validUntil = -Infinity;
  #ended = false;
  #outvoted = false;
  #held: { readonly key: string; readonly holder: string | undefined } | undefined;

  constructor(runtime: LockRuntime, locks: readonly LockKeys[], owner: string, refusals: NodeRefusals) {
    this.#runtime = runtime;
    this.#locks = locks;
    this.#nodes = runtime.nodes.map((node) => new NodeLease(node, locks, owner, refusals));
    this.key = locks[0]?.holder ?? '';
  }

  /** The last extension found no quorum; if the lock is lost, that is why. */
  get lossReason(): LockLossReason | undefined {
    return this.#outvoted ? 'quorum' : undefined;
  }

  /**
   * Asks all nodes, writes the fencing token back to them, and settles as soon as either has a quorum, or can't have one any more.
   *
   * The token is higher than any that a node of the quorum has seen, and the holder gets it when a quorum knows it. The next quorum has one of those nodes in
   * common, and so has a higher token: counters of each node for itself would not rise from one quorum to another.
   *
   * @param leastFence the token is to be higher than this
   */
  async take(ttlMs: number, leastFence: number): Promise<Round> {
    const { clock } = this.#runtime;
    const validUntil = leaseEnd(clock.now(), ttlMs);
    this.#ttlMs = ttlMs;
    this.#highestFence = leastFence;
    const grants = this.#nodes.map((node) => ({ node: node.name, cast: this.#ask(node) }));
    const granted = await poll(grants);
    if (granted.verdict === 'impossible') return this.#lost(granted);

    const fencingToken = this.#highestFence + 1;
    this.#highestFence = this.#fence = fencingToken;
    const knowing = this.#nodes.map((node, index) => ({
      node: node.name,
      cast: this.#write(node, fencingToken, grants[index]?.cast),
    }));
    const known = await poll(knowing);
    if (known.verdict === 'impossible') return this.#lost(known);
    if (validUntil - clock.now() < ttlMs / 2) return this.#lost(known, true);

    this.#validUntil = validUntil;
    this.#joinMissing(knowing);
    return { won: true, fencingToken, validUntil };
  }

  /**
   * A quorum has to have it still, and to extend it. Only then is it taken anew where it is missing: what a majority has forgotten, or was told to give to
   * somebody else, is not ours any more.
   *
   * @throws LockQuorumError when too many nodes can't be reached to tell
   */
  async extend(ttlMs: number): Promise<boolean> {
    const validUntil = leaseEnd(this.#runtime.clock.now(), ttlMs);
    this.#validUntil = Math.min(this.#validUntil, validUntil);
    this.#ttlMs = ttlMs;
    const votes = this.#nodes.map((node) => ({ node: node.name, cast: node.extend(ttlMs) }));
    const extended = await poll(votes);
    this.#outvoted = extended.verdict === 'impossible';
    if (!this.#outvoted) {
      this.#validUntil = validUntil;
      this.#joinMissing(votes);
      return true;
    }
    if (extended.denied) return false;
    throw quorumError(this.key, extended, this.#nodes.length);
  }

  /** @throws LockQuorumError when too many nodes can't be reached to tell; they are told as soon as they can be */
  async release(keepMs: number): Promise<boolean> {
    const { clock } = this.#runtime;
    this.#ended = true;
    const keptUntil = clock.now() + keepMs;
    const left = () => Math.max(0, Math.ceil(keptUntil - clock.now()));
    const released = await poll(this.#nodes.map((node) => ({ node: node.name, cast: this.#releaseAt(node, left) })));
    if (released.verdict === 'won') return true;
    if (released.denied) return false;
    throw quorumError(this.key, released, this.#nodes.length);
  }

  /** Tells every node, in the background. */
  giveUp(): Promise<void> {
    this.#ended = true;
    for (const node of this.#nodes) this.#runtime.clearUp(() => node.release(() => 0, this.#ttlMs), this.#ttlMs);
    return Promise.resolve();
  }

  #lost(result: Poll, late = false): Round {
    return { won: false, poll: result, late, held: this.#held, fence: this.#highestFence };
  }

  async #ask(node: NodeLease): Promise<boolean> {
    const reply = await node.acquire(this.#ttlMs, 0);
    if (reply.acquired) this.#highestFence = Math.max(this.#highestFence, reply.fence);
    else this.#held ??= { key: this.#locks[reply.at]?.holder ?? this.key, holder: reply.holder };
    return reply.acquired;
  }

  async #write(node: NodeLease, fence: number, granted: Promise<boolean> | undefined): Promise<boolean> {
    return (await granted) === true && node.remember(fence, this.#ttlMs);
  }

  /** Settles with the first attempt; the others go on behind it. */
  #releaseAt(node: NodeLease, keepMs: () => number): Promise<boolean> {
    return new Promise<boolean>((resolve, reject) => {
      const attempt = async () => {
        const released = node.release(keepMs, this.#ttlMs);
        released.then(resolve, reject);
        await released;
      };
      this.#runtime.clearUp(attempt, this.#ttlMs);
    });
  }

  /** Each node as soon as its own vote is known, since nobody waits for the last ones. One that refuses for good is asked again by the next renewal, and not before. */
  #joinMissing(votes: readonly Vote[]): void {
    this.#nodes.forEach((node, index) => {
      const vote = votes[index]?.cast ?? Promise.resolve(false);
      const isMissing = vote.then((isThere) => !isThere, mayPass);
      void isMissing.then(async (missing) => {
        if (missing) await this.#join(node);
      });
    });
  }

  /** Tries to bring a node in for as long as the lease is valid: soon, since somebody else may just be giving up there; then at the pace of renewals. */
  async #join(node: NodeLease): Promise<void> {
    if (this.#joining.has(node)) return;
    this.#joining.add(node);
    for (let attempt = 1; this.#validMs > 0; attempt++) {
      const again = await node
        .acquire(Math.ceil(this.#validMs), this.#fence)
        .then(({ acquired }) => !acquired, mayPass);
      if (!again) break;
      await this.#pause(fullJitter(attempt, this.#ttlMs / 3));
    }
    this.#joining.delete(node);
  }

  get #validMs(): number {
    return this.#ended ? 0 : this.#validUntil - this.#runtime.clock.now();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#runtime.clock.after(ms, resolve, { unref: true });
    });
  }
}
