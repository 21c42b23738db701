import { murmur3 } from './murmur3.js';

/**
 * Chooses the partition of each message of one producer.
 *
 * By the key, so that messages of one key share a partition; without a key by the message id, so that a repetition meets the first one; without both in turn. The choice by text is
 * stable: `murmur3(text) mod partitions`.
 */
export class Partitioner {
  readonly #partitions: number;
  #turn: number;

  constructor(partitions: number) {
    this.#partitions = partitions;
    // Producers that start together do not all begin with the same one.
    this.#turn = Math.floor(Math.random() * partitions);
  }

  /** @returns 0 to partitions - 1 */
  of(key: string, messageId: string): number {
    if (this.#partitions === 1) return 0;
    const text = key === '' ? messageId : key;
    if (text !== '') return murmur3(text) % this.#partitions;
    this.#turn = (this.#turn + 1) % this.#partitions;
    return this.#turn;
  }
}
