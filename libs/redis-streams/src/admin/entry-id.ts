import { OptionsError } from '@redstart/redis-core';

const shape = /^(\d{1,20})(?:-(\d{1,20}))?$/;
const largest = 2n ** 64n - 1n;

/** The milliseconds in an entry's id: when it was added, by the server's clock. */
export function timeOf(id: string): number {
  const end = id.indexOf('-');
  return Number(end === -1 ? id : id.slice(0, end));
}

/** How long ago an entry was added; never negative, since after a failover a server's clock may be behind. `undefined` for an empty id. */
export function ageOf(id: string, nowMs: number): number | undefined {
  return id === '' ? undefined : Math.max(0, nowMs - timeOf(id));
}

/**
 * The id just before another one: what a group has to have read last, so that it goes on with that one.
 * @throws OptionsError when it is no id
 */
export function idBefore(id: string, option: string): string {
  const [, ms, sequence = '0'] = shape.exec(id) ?? [];
  if (ms === undefined || BigInt(ms) > largest || BigInt(sequence) > largest) {
    throw new OptionsError(option, `got '${id.slice(0, 60)}'; expected the id of an entry, e.g. '1700000000000-0'.`);
  }
  if (BigInt(sequence) > 0n) return `${ms}-${BigInt(sequence) - 1n}`;
  return BigInt(ms) === 0n ? '0-0' : `${BigInt(ms) - 1n}-${largest}`;
}
