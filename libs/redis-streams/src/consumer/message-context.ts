import { durationMs } from '@redstart/redis-core';
import { commit } from '../effects/commit.js';
import { Inbox } from '../effects/inbox.js';
import type { Envelope, MessageHeaders } from '../message/envelope.js';
import { AlreadyCommittedError, UnrecoverableError } from '../streams.errors.js';
import type { HeldEntry } from './held-entry.js';
import type { StreamContext } from './stream-context.js';

/** What a handler asked for instead of an acknowledgement. */
export type Request =
  { readonly kind: 'retry'; readonly delayMs: number | undefined } | { readonly kind: 'dead'; readonly error: Error };

/** How long a commit without an inbox is remembered: for the repetition of a call whose reply was lost. */
const committedMs = 60_000;

/** The context of one run. What few handlers ask for is made when they do. */
export class MessageContext implements StreamContext {
  readonly id: string;
  readonly messageId: string;
  readonly stream: string;
  readonly group: string;
  readonly type: string;
  readonly key: string;
  readonly attempt: number;
  readonly deliveries: number;
  readonly headers: MessageHeaders;
  readonly #entry: HeldEntry;
  #request: Request | undefined;
  /** Each has a token of its own: only the repetition of one call may be taken for it. */
  readonly #commits = { count: 0, underWay: false };

  constructor(entry: HeldEntry, { type, key, headers, messageId }: Envelope) {
    const { stream, group } = entry.source.member.consumer;
    this.id = entry.originId;
    this.messageId = messageId === '' ? entry.originId : messageId;
    this.stream = stream.name;
    this.group = group;
    this.type = type;
    this.key = key;
    this.attempt = entry.failures + 1;
    this.deliveries = entry.failures + entry.deliveries;
    this.headers = headers;
    this.#entry = entry;
  }

  get publishedAt(): Date {
    return new Date(Number(this.id.slice(0, this.id.indexOf('-'))));
  }

  get signal(): AbortSignal {
    return this.#entry.signal;
  }

  // Functions of their own, so that handlers may take them out of the context: `({ retry }) => …`.
  get retry(): StreamContext['retry'] {
    return ({ delay } = {}) => {
      const delayMs = delay === undefined ? undefined : durationMs(delay, 'ctx.retry({ delay })', { min: 0 });
      this.#request = { kind: 'retry', delayMs };
    };
  }

  get deadLetter(): StreamContext['deadLetter'] {
    return (reason) => {
      this.#request = { kind: 'dead', error: new UnrecoverableError(reason) };
    };
  }

  get commit(): StreamContext['commit'] {
    return async (effects) => {
      const entry = this.#entry;
      if (this.#commits.underWay || entry.committed) throw new AlreadyCommittedError(this.id);
      const note = entry.note ?? new Inbox(entry.source.member).noteOf(entry, this.messageId, committedMs);
      this.#commits.underWay = true;
      this.#commits.count += 1;
      try {
        await commit(entry, { ...note, token: `${note.token}/${this.#commits.count}` }, effects);
      } finally {
        this.#commits.underWay = false;
      }
    };
  }

  get hashTag(): string {
    const { key } = this.#entry.source;
    return key.slice(key.indexOf('{'), key.indexOf('}') + 1);
  }

  /** @internal What the handler asked for; the last word counts. */
  static requestOf(ctx: MessageContext): Request | undefined {
    return ctx.#request;
  }
}
