import { durationMs, type Duration, type Key } from '@redstart/redis-core';

/** What a loader may say of the value that it is loading, and what it may know. */
export interface LoadContext {
  /** The stale value that this load is to replace, if there is one. */
  readonly staleValue: unknown;
  /** How long this value lives, instead of what the call has said; at most the module's `maxTtl`. @throws OptionsError */
  setTtl(ttl: Duration): void;
  /** Further tags. What is loaded is not stored if one of them is invalidated while it is being loaded. */
  addTags(...tags: Key[]): void;
  /** This value is not to be stored. */
  skipCache(): void;
}

/** What a loader has said. */
export class LoadNotes implements LoadContext {
  ttlMs: number | undefined;
  skipped = false;
  readonly tags: Key[] = [];

  constructor(
    readonly staleValue: unknown,
    private readonly maxTtlMs: number,
  ) {}

  setTtl(ttl: Duration): void {
    this.ttlMs = Math.min(durationMs(ttl, 'LoadContext.setTtl'), this.maxTtlMs);
  }

  addTags(...tags: Key[]): void {
    this.tags.push(...tags);
  }

  skipCache(): void {
    this.skipped = true;
  }
}
