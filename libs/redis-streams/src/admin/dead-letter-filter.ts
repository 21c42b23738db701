import { checkFunction, checkKnownKeys, checkText, OptionsError } from '@redstart/redis-core';
import { deadLetterReasons, type DeadLetterReason } from '../consumer/dead-letter.js';
import type { DeadLetter } from './dead-letter.js';

/** Which dead letters: those for which everything that is given holds. */
export interface DeadLetterFilter {
  /** The ids of dead letters, as `list` shows them. */
  readonly ids?: readonly string[];
  readonly reason?: DeadLetterReason;
  /** The type of the event. */
  readonly type?: string;
  /** The name of the last error, e.g. `TimeoutError`. */
  readonly error?: string;
  /** Given up before this moment. */
  readonly before?: Date;
  /** Given up at this moment or later. */
  readonly after?: Date;
  readonly where?: (letter: DeadLetter) => boolean;
}

const known = ['ids', 'reason', 'type', 'error', 'before', 'after', 'where'];

/**
 * Checks a filter, and makes a function of it. A misspelt condition must not purge everything.
 * @throws OptionsError
 */
export function deadLetterMatcher(filter: DeadLetterFilter, where: string): (letter: DeadLetter) => boolean {
  checkKnownKeys(filter, known, where);
  for (const [name, value] of Object.entries(filter)) {
    if (value === undefined)
      throw new OptionsError(
        `${where}.${name}`,
        'is undefined, which would match everything. Leave it out, or give it a value.',
      );
  }
  const { ids, reason, type, error, before, after, where: condition } = filter;
  for (const [name, value] of Object.entries({ reason, type, error })) {
    if (value !== undefined) checkText(value, `${where}.${name}`);
  }
  if (reason !== undefined && !deadLetterReasons.includes(reason)) {
    throw new OptionsError(`${where}.reason`, `expected one of ${deadLetterReasons.join(', ')}.`);
  }
  for (const [name, value] of Object.entries({ before, after })) {
    if (value !== undefined) checkMoment(value, `${where}.${name}`);
  }
  if (condition !== undefined) checkFunction(condition, `${where}.where`);
  if (ids !== undefined && !Array.isArray(ids)) throw new OptionsError(`${where}.ids`, 'expected an array of ids.');
  const wanted = ids === undefined ? undefined : new Set(ids);
  return (letter) =>
    (wanted === undefined || wanted.has(letter.id)) &&
    (reason === undefined || letter.reason === reason) &&
    (type === undefined || letter.message?.type === type) &&
    (error === undefined || letter.error.name === error) &&
    (before === undefined || letter.since < before) &&
    (after === undefined || letter.since >= after) &&
    (condition === undefined || condition(letter));
}

function checkMoment(value: unknown, option: string): void {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return;
  throw new OptionsError(option, 'expected a valid Date.');
}
