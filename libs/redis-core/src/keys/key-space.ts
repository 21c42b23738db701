import { createHash } from 'node:crypto';
import { InvalidKeyError, OptionsError } from '../redis.errors.js';
import { quote } from '../options/quote.js';

/** One part of a key. `1`, `1n` and `'1'` are the same part: keys are text. */
export type KeyPart = string | number | bigint;

/**
 * What a lock, a limit or a cached value is about.
 *
 * A string is taken as written, so `'a:b'` means the same as `['a', 'b']`. In an array a `:` inside a part is escaped, so
 * `['a:b', 'c']` and `['a', 'b:c']` differ: build keys that hold user input as arrays.
 */
export type Key = KeyPart | readonly KeyPart[];

/** Names the keys of one subject: without a part its main key, with one a companion in the same cluster slot. */
export type TaggedKeys = (part?: string) => string;

/** Longest subject, in bytes of its escaped form, that is written out in a key. */
const longestSubject = 1024;
/** How many characters of a longer one stay readable in front of its hash. */
const readablePrefix = 64;

/** Cheap first look: nothing here means that the text can be used as it is. Surrogates come in pairs or not; only the slow path tells. */
const suspicious = /[%{}\u0000-\u001f\u007f-\u009f\ud800-\udfff]/;
const loneSurrogate = /\p{Surrogate}/u;
const reserved = /[%{}\u0000-\u001f\u007f-\u009f]/g;

/**
 * Builds every Redis key of one application, and nothing else does.
 *
 * A key reads `<namespace>:<area>:{<subject>}[:part]`. The braces are its one hash tag, so all keys of a subject share a cluster slot. `%`,
 * braces and control characters of a subject are percent-encoded, so no subject can break out of its braces, and different
 * subjects never meet in one key. A subject of more than 1 KB is shortened to its beginning and its SHA-256.
 *
 * @example
 * const at = new KeySpace('shop').tagged('lock', ['order', 42]);
 * at(); //        shop:lock:{order:42}
 * at('fence'); // shop:lock:{order:42}:fence
 */
export class KeySpace {
  readonly namespace: string;

  /**
   * @param namespace the first part of every key: what keeps applications on one Redis apart
   * @throws OptionsError when it is empty, longer than 128 characters, or holds braces, `%`, whitespace, control or glob characters
   */
  constructor(namespace: string) {
    assertNamespace(namespace);
    this.namespace = namespace;
  }

  /**
   * The keys of one subject.
   *
   * @param area which pattern they belong to, e.g. `lock`
   * @throws InvalidKeyError when the subject is empty, holds half a character (a lone surrogate), or isn't a string, a finite number, a bigint
   * or an array of those
   */
  tagged(area: string, subject: Key): TaggedKeys {
    const main = `${this.namespace}:${escape(area, 'area')}:{${encodeSubject(subject)}}`;
    return (part) => (part === undefined ? main : `${main}:${escape(part, 'part')}`);
  }

  /**
   * A key or channel without a hash tag, for what belongs to no subject.
   *
   * @example  keys.untagged('cache', 'invalidations') // shop:cache:invalidations
   */
  untagged(area: string, part: string): string {
    return `${this.namespace}:${escape(area, 'area')}:${escape(part, 'part')}`;
  }
}

/**
 * A subject as it stands between the braces of its key: escaped, and hashed when it is longer than 1 KB.
 *
 * @throws InvalidKeyError as {@link KeySpace.tagged} does
 */
export function encodeSubject(subject: Key): string {
  const text = subjectText(subject);
  if (text === '') throw new InvalidKeyError('A key must not be empty.');
  // A UTF-16 unit takes at most 3 bytes, so short texts need no counting.
  if (text.length * 3 <= longestSubject || Buffer.byteLength(text) <= longestSubject) return text;
  return shorten(text);
}

function subjectText(subject: Key): string {
  if (typeof subject === 'string') return escape(subject, 'key');
  if (!Array.isArray(subject)) return partText(subject, 'key');
  if (subject.length === 0) throw new InvalidKeyError('A key must not be empty, but it is an array without parts.');
  let text = '';
  for (let i = 0; i < subject.length; i++) {
    const part = partText(subject[i], 'key', i);
    text += i === 0 ? part : `:${part}`;
  }
  return text;
}

/** The text of one part of an array, in which `:` is no separator, or of a number. */
function partText(part: unknown, argument: string, index?: number): string {
  switch (typeof part) {
    case 'string': {
      const text = escape(part, argument, index);
      return text.includes(':') ? text.replaceAll(':', '%3A') : text;
    }
    case 'number':
      if (Number.isFinite(part)) return `${part}`; // String(-0) is '0'
      break;
    case 'bigint':
      return part.toString();
  }
  throw new InvalidKeyError(
    `${nameOf(argument, index)} must be a string, a finite number or a bigint${index === undefined ? ', or an array of those' : ''}, but is ${quote(part)}.`,
  );
}

function escape(text: string, argument: string, index?: number): string {
  if (!suspicious.test(text)) return text;
  if (loneSurrogate.test(text)) {
    throw new InvalidKeyError(
      `${nameOf(argument, index)} holds half of a character (a lone surrogate): ${quote(text)}. Redis would store it as U+FFFD, like any other.`,
    );
  }
  return text.replace(reserved, percentEncode);
}

function percentEncode(character: string): string {
  let encoded = '';
  for (const byte of Buffer.from(character)) encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return encoded;
}

/** `%#` is no escape that {@link percentEncode} could write, so a shortened subject never equals a written one. */
function shorten(text: string): string {
  const readable = text.slice(0, readablePrefix).replace(/(?:%[0-9A-F]?|[\ud800-\udbff])$/, '');
  return `${readable}%#${createHash('sha256').update(text).digest('hex')}`;
}

function nameOf(argument: string, index: number | undefined): string {
  return index === undefined ? `The ${argument}` : `The ${argument}'s part [${index}]`;
}

function assertNamespace(namespace: unknown): asserts namespace is string {
  if (typeof namespace === 'string' && /^[^\s\p{Cc}\p{Cs}{}%*?[\]\\^]{1,128}$/u.test(namespace)) return;
  throw new OptionsError(
    'namespace',
    `${quote(namespace)} can't start a key. Use 1 to 128 characters without whitespace, braces, % or * ? [ ] \\ ^, e.g. 'shop' or 'shop:prod'.`,
  );
}
