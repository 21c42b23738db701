import { disorder, sharedPartitions, type OwnershipExcuses } from './ownership.js';
import { tooManyEffects, type EffectExcuses } from './effects.js';
import type { WaveRecord } from './wave-record.js';

/** What Redis itself shows of a wave when everything has come to rest, by the names of the messages. */
export interface RedisState {
  /** How many entries of each message are in the stream. */
  readonly entries: ReadonlyMap<string, number>;
  /** How many dead letters of each message there are. */
  readonly deadLetters: ReadonlyMap<string, number>;
  /** How often the effect of each message took place that was committed together with its acknowledgement. */
  readonly effects: ReadonlyMap<string, number>;
  /** The messages that were meant to become dead letters. */
  readonly failing: ReadonlySet<string>;
}

/** What the harness did, and what it may have led to: nothing else is excused, and nothing by being rare. */
export interface Excuses extends OwnershipExcuses, EffectExcuses {
  /** Redis itself lost what was published before this moment, if anything: no message of before has to be there. On the clock of the ledger. */
  readonly lostUntil?: number;
  /** The members that were killed, and when: what a publisher among them has published without having told is nobody's fault. */
  readonly killed: EffectExcuses['killed'];
}

/** Everything that is against the promises of the library, in words; empty when they were kept. */
export function judge(record: WaveRecord, state: RedisState, excuses: Excuses): string[] {
  const { lostUntil = -Infinity } = excuses;
  return [
    ...record.failed,
    ...lost(record, state, lostUntil),
    ...withoutPublication(record, state, excuses),
    ...moreThanOnce(state.entries, 'was added'),
    ...moreThanOnce(state.deadLetters, 'became a dead letter'),
    ...moreThanOnce(state.effects, 'had its committed effect'),
    ...withoutEffect(record, state, lostUntil),
    ...tooManyEffects(record, excuses),
    ...tooEarly(record),
    ...wrongDeadLetters(state),
    ...disorder(record, excuses),
    ...sharedPartitions(record, excuses),
  ];
}

/**
 * What was acknowledged to its publisher, and is not over yet.
 *
 * @param done the messages that are over, whatever the ledger says
 */
export function outstanding(record: WaveRecord, done: ReadonlySet<string>, lostUntil = -Infinity): string[] {
  return [...record.unhandled].flatMap(([message, { startedAt }]) =>
    done.has(message) || startedAt <= lostUntil ? [] : [message],
  );
}

/** How many messages were handled more often than once: allowed, and better few. */
export function repeated(record: WaveRecord): number {
  return [...record.handled.values()].filter((handlings) => handlings.length > 1).length;
}

function lost(record: WaveRecord, { deadLetters, effects }: RedisState, lostUntil: number): string[] {
  return outstanding(record, new Set([...deadLetters.keys(), ...effects.keys()]), lostUntil).map(
    (message) => `${message} was acknowledged to its publisher, and neither handled nor dead-lettered`,
  );
}

/** The handling of such a message commits its effect and its acknowledgement in one step: so whatever is over has had it, whoever says so. */
function withoutEffect({ published }: WaveRecord, { deadLetters, effects }: RedisState, lostUntil: number): string[] {
  return [...published].flatMap(([message, { effect, startedAt }]) => {
    const isDue = effect === 'by commit' && startedAt > lostUntil && !deadLetters.has(message);
    return isDue && !effects.has(message) ? [`${message} was acknowledged, and never had its committed effect`] : [];
  });
}

/** Redis counts the time in whole ms, and begins to when it is asked. */
const clocksDiffer = 5;

/** No message that was delayed is handled before its time. */
function tooEarly({ published, handled }: WaveRecord): string[] {
  return [...published].flatMap(([message, { dueAt }]) => {
    const begunAt = handled.get(message)?.[0]?.begunAt;
    if (dueAt === undefined || begunAt === undefined || begunAt >= dueAt - clocksDiffer) return [];
    return [`${message} was handled ${Math.round(dueAt - begunAt)} ms before its time`];
  });
}

/** `publish` has said that nothing was sent, or said nothing at all. */
function withoutPublication(record: WaveRecord, { entries }: RedisState, { killed }: Excuses): string[] {
  return [...new Set([...entries.keys(), ...record.handled.keys()])].flatMap((message) => {
    if (record.notExecuted.has(message)) return [`${message} is there, though publish said that nothing was sent`];
    const told = record.published.has(message) || record.unknown.has(message);
    const publisher = message.slice(0, message.indexOf('-'));
    return told || killed.some(({ by }) => by === publisher)
      ? []
      : [`${message} is there, and nobody has published it`];
  });
}

function moreThanOnce(counts: ReadonlyMap<string, number>, what: string): string[] {
  return [...counts].flatMap(([message, count]) => (count > 1 ? [`${message} ${what} ${count} times`] : []));
}

function wrongDeadLetters({ deadLetters, failing }: RedisState): string[] {
  return [...deadLetters.keys()].flatMap((message) =>
    failing.has(message) ? [] : [`${message} became a dead letter, though its handler would have worked`],
  );
}
