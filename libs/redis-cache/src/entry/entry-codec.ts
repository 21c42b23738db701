import { createCodec, createCompression, type Codec, type Compression } from '@redstart/redis-core';
import type { ResolvedCacheOptions } from '../cache.options.js';

/** Turns values into payloads and back. */
export class EntryCodec {
  readonly #codec: Codec;
  readonly #compression: Compression;
  readonly #packs: boolean;

  constructor({ maxValueBytes, packFromBytes }: Pick<ResolvedCacheOptions, 'maxValueBytes' | 'packFromBytes'>) {
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

  /** A copy of a snapshot's value, of its own. @throws CorruptValueError */
  revive(snapshot: Buffer): unknown {
    return this.#codec.decode(snapshot);
  }

  /** What is stored of a snapshot; synchronous for small ones. */
  pack(snapshot: Buffer): Buffer | Promise<Buffer> {
    return this.#packs ? this.#compression.pack(snapshot) : snapshot;
  }

  /** How many bytes {@link unpack} would give, without doing it. */
  unpackedBytes(payload: Buffer): number {
    return this.#compression.unpackedBytes(payload);
  }

  /** What {@link pack} was given; synchronous for small ones. @throws CorruptValueError (as a rejection) */
  unpack(payload: Buffer): Buffer | Promise<Buffer> {
    return this.#compression.unpack(payload);
  }
}
