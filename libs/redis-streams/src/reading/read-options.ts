import { checkBoolean, checkFunction, checkKnownKeys, OptionsError } from '@redstart/redis-core';
import { unknownEvent, type StreamDefinition } from '../definition/define-stream.js';
import { lastIdOf } from './entry-id.js';

/** An entry that `read` leaves out, and why. */
export interface UnreadableEntry {
  readonly id: string;
  /** UndecodableEntryError: foreign, damaged, or of an event that the stream does not declare · InvalidPayloadError: it does not fit its schema. */
  readonly error: Error;
}

export interface ReadOptions<Type extends string = string> {
  /** Where to begin: `'start'` for the first entry that there is, the id of an entry (included), or a moment by the clock of Redis. */
  readonly from: Date | string;
  /** The last entry, or moment, to read; included. @default the last entry that there is when the reading begins */
  readonly to?: Date | string;
  /** Only messages of this event, or of these. @default all */
  readonly type?: Type | readonly Type[];
  /** Goes on with entries that are published meanwhile and later, until `signal` aborts. @default false */
  readonly follow?: boolean;
  /** Ends the loop when it aborts, without an error. Required with `follow`. */
  readonly signal?: AbortSignal;
  /** Is told of each entry that can't be read; the loop goes on behind it. @default a warning in the log, at most one every 30 s */
  readonly onUnreadable?: (entry: UnreadableEntry) => void;
}

/** Checked, and in the terms of XRANGE. */
export interface ResolvedRead {
  readonly from: string;
  /** A complete id; `undefined` for the last one that there is. */
  readonly to: string | undefined;
  /** `undefined`: all. */
  readonly types: ReadonlySet<string> | undefined;
  readonly follow: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onUnreadable: ((entry: UnreadableEntry) => void) | undefined;
}

const known = ['from', 'to', 'type', 'follow', 'signal', 'onUnreadable'];
const entryId = /^\d{1,20}(?:-\d{1,20})?$/;

/** @throws OptionsError */
export function resolveReadOptions(stream: StreamDefinition, options: ReadOptions): ResolvedRead {
  checkKnownKeys(options, known, 'read(options)');
  const { from, to, type, follow, signal, onUnreadable } = options;
  const resolved = {
    from: from === 'start' ? '-' : position(from, 'read({ from })', "'start', an entry's id or a Date"),
    to: to === undefined ? undefined : lastIdOf(position(to, 'read({ to })', "an entry's id or a Date")),
    types: type === undefined ? undefined : new Set(typeof type === 'string' ? [type] : type),
    follow: follow !== undefined && checkBoolean(follow, 'read({ follow })'),
    signal,
    onUnreadable: onUnreadable === undefined ? undefined : checkFunction(onUnreadable, 'read({ onUnreadable })'),
  };
  for (const wanted of resolved.types ?? []) {
    if (!Object.hasOwn(stream.events, wanted)) throw unknownEvent(stream, wanted);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new OptionsError('read({ signal })', 'expected an AbortSignal.');
  }
  if (resolved.follow && signal === undefined) {
    throw new OptionsError(
      'read({ follow })',
      'never ends by itself, so it needs a signal: the AbortSignal that ends it.',
    );
  }
  if (resolved.follow && to !== undefined) {
    throw new OptionsError('read({ follow, to })', 'contradict each other. Give one of them.');
  }
  return resolved;
}

function position(value: unknown, option: string, expected: string): string {
  if (value instanceof Date) {
    const ms = value.getTime();
    if (Number.isNaN(ms)) throw new OptionsError(option, 'is an invalid Date.');
    return String(Math.max(0, ms));
  }
  if (typeof value === 'string' && entryId.test(value)) return value;
  throw new OptionsError(option, `expected ${expected}.`);
}
