import { checkInteger, checkKnownKeys, durationMs, OptionsError, type Duration } from '@redstart/redis-core';

/** What a stream keeps after every group has handled it. Without groups it keeps everything. */
export interface StreamRetention {
  /** How long handled entries are kept, e.g. to be read again. */
  readonly maxAge?: Duration;
  /** How many entries are kept, as far as the rest has been handled. With `maxAge` as well, what exceeds either goes. */
  readonly maxLen?: number;
  /**
   * How many entries the stream holds at most, **also when groups have not handled the oldest yet**: those are lost to them, counted and told to the log. For streams whose
   * messages are worth less than the memory of Redis. Publishing takes a script then, instead of a plain XADD; delayed messages that come due count at the next one.
   */
  readonly hardMaxLen?: number;
}

/** Checked, durations in milliseconds. */
export interface ResolvedRetention {
  readonly maxAgeMs: number | undefined;
  readonly maxLen: number | undefined;
  readonly hardMaxLen: number | undefined;
}

const known = ['maxAge', 'maxLen', 'hardMaxLen'];

/** @throws OptionsError */
export function resolveRetention(retention: StreamRetention | undefined, where: string): ResolvedRetention | undefined {
  if (retention === undefined) return undefined;
  checkKnownKeys(retention, known, where);
  const { maxAge, maxLen, hardMaxLen } = retention;
  if (maxAge === undefined && maxLen === undefined && hardMaxLen === undefined) {
    throw new OptionsError(where, `is empty. Give at least one of ${known.join(', ')}, or leave it out.`);
  }
  const count = (value: number | undefined, name: string) =>
    value === undefined ? undefined : checkInteger(value, `${where}.${name}`, 1, Number.MAX_SAFE_INTEGER);
  const resolved = {
    maxAgeMs: maxAge === undefined ? undefined : durationMs(maxAge, `${where}.maxAge`),
    maxLen: count(maxLen, 'maxLen'),
    hardMaxLen: count(hardMaxLen, 'hardMaxLen'),
  };
  if (resolved.maxLen !== undefined && resolved.hardMaxLen !== undefined && resolved.hardMaxLen < resolved.maxLen) {
    throw new OptionsError(
      `${where}.hardMaxLen`,
      `is less than maxLen: the stream would lose what it is told to keep.`,
    );
  }
  return Object.freeze(resolved);
}
