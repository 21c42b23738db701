import { idempotentEffects } from '../ledger/effects.js';
import { outstanding, repeated, type RedisState } from '../ledger/judge.js';
import { handOvers } from '../ledger/ownership.js';
import type { WaveRecord } from '../ledger/wave-record.js';
import { fateOf, typeOf } from '../member/orders-stream.js';
import type { Recovery } from './wave.js';

/** What a wave came to, in numbers: how much the judge has looked at. */
export interface WaveTotals {
  /** Acknowledged to their publishers. */
  readonly published: number;
  /** Those of them that Redis itself lost. */
  readonly lost: number;
  /** Effects of commits. */
  readonly committed: number;
  /** Messages of idempotent handlers that were handled, how many of them more often than once, and how many were added again at the end. */
  readonly remembered: number;
  readonly repeated: number;
  readonly addedAgain: number;
  readonly deadLetters: number;
  readonly delayed: number;
  readonly failedInBatch: number;
  /** Messages of keys, in partitions. */
  readonly keyed: number;
  /** Events of Nest's transport. */
  readonly emitted: number;
  /** Of all kinds. */
  readonly handledTwice: number;
  readonly handOvers: number;
  readonly recoveries: readonly Recovery[];
}

export function totalsOf(
  record: WaveRecord,
  { deadLetters, effects }: RedisState,
  { addedAgain, recoveries }: Pick<WaveTotals, 'addedAgain' | 'recoveries'>,
): WaveTotals {
  const { published, handled } = record;
  const remembered = idempotentEffects(record);
  const messages = [...published.keys()];
  return {
    published: published.size,
    lost: outstanding(record, new Set([...deadLetters.keys(), ...effects.keys()])).length,
    committed: messages.filter((message) => effects.has(message)).length,
    remembered: remembered.length,
    repeated: remembered.filter(([, handlings]) => handlings.length > 1).length,
    addedAgain,
    deadLetters: deadLetters.size,
    delayed: [...published].filter(([message, { dueAt }]) => dueAt !== undefined && handled.has(message)).length,
    failedInBatch: messages.filter((message) => handled.has(message) && failsInBatch(message)).length,
    keyed: messages.filter((message) => /-k/.test(message)).length,
    emitted: messages.filter((message) => /-n/.test(message)).length,
    handledTwice: repeated(record),
    handOvers: handOvers(record),
    recoveries,
  };
}

function failsInBatch(message: string): boolean {
  const number = Number(message.slice(message.indexOf('-') + 1));
  return typeOf(number) === 'order.packed' && fateOf(number) === 'fails once';
}
