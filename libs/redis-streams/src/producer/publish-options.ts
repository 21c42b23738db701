import { checkKnownKeys, durationMs, OptionsError, type Duration } from '@redstart/redis-core';
import { noHeaders, type MessageHeaders } from '../message/envelope.js';
import type { DueTime } from '../scripts/due-time.js';

export interface PublishOptions {
  /**
   * What the message is about, e.g. the id of the order. Handed to the handlers as `ctx.key`; in a partitioned stream it decides the partition, so that messages of one
   * key keep their order. At most 1024 characters.
   */
  readonly key?: string;
  /**
   * Your own id of the message: publishing it again within `deduplicationWindow` adds nothing. At most 256 characters.
   * Give one where a repetition must not count twice; then `publish` may be retried after an unknown outcome.
   */
  readonly messageId?: string;
  /** Text that travels beside the payload, e.g. a tenant or a trace. At most 64 KiB in all. */
  readonly headers?: MessageHeaders;
  /** Adds the message to the stream only after this time, by the clock of Redis. At most a year. */
  readonly delay?: Duration;
  /** Adds the message to the stream at this moment, by the clock of Redis; at once when it is past. */
  readonly at?: Date;
}

/** What was asked for, checked. Empty strings where nothing was given. */
export interface ResolvedPublication {
  readonly key: string;
  readonly messageId: string;
  readonly headers: MessageHeaders;
  readonly due: DueTime | undefined;
}

const known = ['key', 'messageId', 'headers', 'delay', 'at'];
const longestMessageId = 256;
const longestKey = 1024;
const plain: ResolvedPublication = Object.freeze({ key: '', messageId: '', headers: noHeaders, due: undefined });

/** @param where the call, for errors: `publish` @throws OptionsError */
export function resolvePublishOptions(options: PublishOptions | undefined, where: string): ResolvedPublication {
  if (options === undefined) return plain;
  checkKnownKeys(options, known, `${where}(options)`);
  const { key, messageId, headers, delay, at } = options;
  if (key !== undefined && !(typeof key === 'string' && key.length <= longestKey)) {
    throw new OptionsError(`${where}({ key })`, `expected a string of at most ${longestKey} characters.`);
  }
  if (messageId !== undefined) checkMessageId(messageId, `${where}({ messageId })`);
  if (delay !== undefined && at !== undefined) {
    throw new OptionsError(`${where}({ delay, at })`, 'say the same thing twice. Give one of them.');
  }
  return {
    key: key ?? '',
    messageId: messageId ?? '',
    headers: headers === undefined ? noHeaders : checkHeaders(headers, `${where}({ headers })`),
    due:
      at !== undefined
        ? dueTime(at, `${where}({ at })`)
        : // A computed delay of 0 is no delay.
          delay === undefined || delay === 0
          ? undefined
          : { inMs: durationMs(delay, `${where}({ delay })`) },
  };
}

/** @param when a duration from now, or a moment @throws OptionsError */
export function dueTime(when: Duration | Date, option: string): DueTime {
  if (!(when instanceof Date)) return { inMs: durationMs(when, option, { min: 0 }) };
  const atMs = when.getTime();
  if (Number.isNaN(atMs)) throw new OptionsError(option, 'is an invalid Date.');
  return { atMs: Math.max(0, atMs) };
}

/** @throws OptionsError */
export function checkMessageId(messageId: unknown, option: string): string {
  if (typeof messageId === 'string' && messageId.length > 0 && messageId.length <= longestMessageId) return messageId;
  throw new OptionsError(option, `expected 1 to ${longestMessageId} characters.`);
}

/** @throws OptionsError unless every value is a string; values are never shown */
export function checkHeaders(headers: unknown, option: string): MessageHeaders {
  if (!isRecord(headers)) throw new OptionsError(option, 'expected an object of strings.');
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string') throw new OptionsError(`${option}['${name.slice(0, 60)}']`, 'expected a string.');
  }
  return headers as MessageHeaders;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
