import type { RedisCall, RedisConnection } from '@redstart/redis-core';
import { parseVersion, type Version } from '../tags/version.js';
import type { Answer } from './commands.js';

/** What is under a key, and the versions that were asked for, in their order. */
export interface RawRead {
  readonly bytes: Buffer | null;
  readonly versions: readonly (Version | undefined)[];
}

interface PendingRead {
  /** Without one, only the versions are asked for. */
  readonly value: string | undefined;
  readonly versionKeys: readonly string[];
  readonly answer: Answer<RawRead>;
}

/** Redis does one command at a time: others are to be served in between. */
const largestBatch = 64;

/**
 * Reads values together that are wanted together, each with the versions that it hangs on.
 *
 * A read waits in line until the end of its tick (after all microtasks, before any I/O), and then all of them leave as one MGET, in which no key stands
 * twice. So a version is asked for once for all that hang on it, and never before any of them was called. On a Cluster, where no MGET reaches two
 * slots, they leave as one GET for each key, in one system call for each node.
 */
export class ReadBatch {
  #pending: PendingRead[] = [];

  constructor(
    private readonly connection: RedisConnection,
    private readonly budgetMs: number,
  ) {}

  /** @throws RedisUnavailableError · RedisCommandError */
  read(value: string | undefined, versionKeys: readonly string[], leftMs: number): Promise<RawRead> {
    return new Promise((resolve, reject) => {
      this.send(value, versionKeys, leftMs, { resolve, reject });
    });
  }

  /** As {@link read}, without a promise of its own. */
  send(value: string | undefined, versionKeys: readonly string[], leftMs: number, answer: Answer<RawRead>): void {
    const read = { value, versionKeys, answer };
    // A call that has used up some of its budget has a smaller one than the others.
    if (leftMs < this.budgetMs) {
      this.#send([read], leftMs);
      return;
    }
    if (this.#pending.length === 0) process.nextTick(this.#flush);
    this.#pending.push(read);
  }

  readonly #flush = (): void => {
    const reads = this.#pending;
    this.#pending = [];
    const size = this.connection.cluster ? reads.length : largestBatch;
    for (let from = 0; from < reads.length; from += size) {
      this.#send(reads.length <= size ? reads : reads.slice(from, from + size), this.budgetMs);
    }
  };

  #send(reads: readonly PendingRead[], budgetMs: number): void {
    const call = { library: 'redis-cache', operation: 'cache.get', budgetMs };
    const [first] = reads;
    if (this.connection.cluster) this.#sendEach(reads, call);
    else if (first !== undefined && reads.length === 1) this.#sendAlone(first, call);
    else this.#sendTogether(reads, call);
  }

  /** The only read of its tick shares no key with another one. */
  #sendAlone({ value, versionKeys, answer }: PendingRead, call: RedisCall): void {
    const keys = value === undefined ? [...versionKeys] : [value, ...versionKeys];
    this.connection
      .call(call, (client) => client.mgetBuffer(keys))
      .then(
        (replies) => {
          const bytes = value === undefined ? null : (replies.shift() ?? null);
          answer.resolve({ bytes, versions: replies.map(parseVersion) });
        },
        (error: unknown) => {
          answer.reject(error);
        },
      );
  }

  #sendTogether(reads: readonly PendingRead[], call: RedisCall): void {
    const places = new Map<string, number>();
    const keys: string[] = [];
    const place = (key: string): number => {
      const known = places.get(key);
      if (known !== undefined) return known;
      places.set(key, keys.length);
      return keys.push(key) - 1;
    };
    const values = reads.map(({ value }) => (value === undefined ? -1 : place(value)));
    // Most reads hang on the same versions, and say so with the same array.
    const versions = new Map<readonly string[], number[]>();
    for (const { versionKeys } of reads) {
      if (!versions.has(versionKeys)) versions.set(versionKeys, versionKeys.map(place));
    }
    this.connection
      .call(call, (client) => client.mgetBuffer(keys))
      .then(
        (replies) => {
          const known = new Map<number, Version | undefined>();
          // Each once, however many reads hang on it.
          const versionAt = (index: number): Version | undefined => {
            if (!known.has(index)) known.set(index, parseVersion(replies[index] ?? null));
            return known.get(index);
          };
          const parsed = new Map<readonly string[], (Version | undefined)[]>();
          for (const [versionKeys, at] of versions) parsed.set(versionKeys, at.map(versionAt));
          for (let i = 0; i < reads.length; i++) {
            const read = reads[i];
            const bytes = replies[values[i] ?? -1] ?? null;
            read?.answer.resolve({ bytes, versions: parsed.get(read.versionKeys) ?? [] });
          }
        },
        (error: unknown) => {
          for (const { answer } of reads) answer.reject(error);
        },
      );
  }

  #sendEach(reads: readonly PendingRead[], call: RedisCall): void {
    const answers = new Map<string, Promise<Buffer | null>>();
    const answer = (key: string) => {
      const known = answers.get(key);
      if (known !== undefined) return known;
      const asked = this.connection.call(call, (client) => client.getBuffer(key));
      answers.set(key, asked);
      return asked;
    };
    for (const { value, versionKeys, answer: told } of reads) {
      Promise.all([value === undefined ? null : answer(value), ...versionKeys.map(answer)]).then(
        ([bytes, ...versions]) => {
          told.resolve({ bytes, versions: versions.map(parseVersion) });
        },
        (error: unknown) => {
          told.reject(error);
        },
      );
    }
  }
}
