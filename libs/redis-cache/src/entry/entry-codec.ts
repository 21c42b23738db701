import { createCodec, createCompression, type Codec, type Compression } from '@redstart/redis-core';
import type { ResolvedCacheOptions } from '../cache.options.js';
import { openEnvelope } from './envelope.js';

/** A value that was found. */
export interface CacheEntry<T> {
  /** May be `null` or `undefined`: a miss is no entry at all. */
  readonly value: T;
  /** When its load began, or it was set: milliseconds since the epoch, by the clock of Redis. */
  readonly createdAt: number;
  /** When it ends, likewise. */
  readonly expiresAt: number;
}

/** Turns values into payloads, and what Redis holds into entries. */
export class EntryCodec {
  readonly #codec: Codec;
  readonly #compression: Compression;
  readonly #packs: boolean;

  constructor({ maxValueBytes, packFromBytes }: ResolvedCacheOptions) {
    this.#codec = createCodec({ maxBytes: maxValueBytes });
    this.#packs = packFromBytes !== Infinity;
    this.#compression = createCompression({
      maxOutputBytes: maxValueBytes,
      ...(this.#packs ? { threshold: packFromBytes } : {}),
    });
  }

  /** The value as it is now, whatever its owner does to it later. @throws UnsupportedValueError */
  snapshot(value: unknown): Buffer {
    return this.#codec.encode(value);
  }

  /** A copy of a snapshot's value, of its own. */
  revive(snapshot: Buffer): unknown {
    return this.#codec.decode(snapshot);
  }

  /** What is stored of a snapshot; synchronous for small ones. */
  pack(snapshot: Buffer): Buffer | Promise<Buffer> {
    return this.#packs ? this.#compression.pack(snapshot) : snapshot;
  }

  /**
   * @returns `undefined` for an entry of a newer version of the library
   * @throws CorruptValueError
   */
  async read(bytes: Buffer): Promise<CacheEntry<unknown> | undefined> {
    const envelope = openEnvelope(bytes);
    if (envelope === undefined) return undefined;
    const { createdAt, expiresAt, payload } = envelope;
    return { value: this.#codec.decode(await this.#compression.unpack(payload)), createdAt, expiresAt };
  }
}
