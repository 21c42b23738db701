import { RedisUnavailableError, Warnings, type Clock } from '@redstart/redis-core';
import { causeOf } from './causes.js';

/** Whether a node may do at the next attempt what it failed to do: it is down, slow, or can't work at present. Whatever else it answers, it answers each time. */
export function mayPass(error: unknown): boolean {
  return error instanceof RedisUnavailableError;
}

/**
 * Tells the operator of nodes that refuse for good: a missing permission, a key of another type. Such a node counts as down, and as long as the others are a quorum nobody
 * would hear of it.
 */
export class NodeRefusals {
  readonly #warnings: Warnings;

  constructor(clock: Clock) {
    this.#warnings = new Warnings('RedisLock', clock);
  }

  /** At once for each node, and then at most every 30 s. An outage is not told here: it is published as such, and passes. */
  tell(node: string, lock: string, error: unknown): void {
    if (mayPass(error)) return;
    const message = `Node "${node}" refuses lock "${lock}", and counts as down until that is put right: ${causeOf(error)}`;
    this.#warnings.warn(node, message);
  }
}
