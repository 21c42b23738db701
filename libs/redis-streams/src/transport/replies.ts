import { randomUUID } from 'node:crypto';
import type { Cancel, RedisCall, RedisClient } from '@redstart/redis-core';
import { backoffMs, pause } from '../consumer/pause.js';
import { Reporter } from '../consumer/reporter.js';
import { replyKeys, type ReplyKeys } from '../keys.js';
import { parseEntries, type RawEntry } from '../message/envelope.js';
import type { RedisStreams } from '../streams.service.js';
import { replyTtlMs } from './replier.js';
import { unlessAborted } from './unless-aborted.js';
import { CallTimeoutError, ClientClosedError } from './transport.errors.js';
import { readReply, type Reply } from './reply.js';

/** One call that waits. */
interface Waiting {
  readonly pattern: string;
  readonly tell: (reply: Omit<Reply, 'call' | 'number'>) => void;
  /** The number of the reply that is to come next: one that is repeated, since its sender was not answered, is told once. */
  next: number;
  cancel: Cancel;
}

const graceMs = 5_000;
const largestRead = 200;

/**
 * The replies to the calls of one client, read from a stream of its own.
 *
 * It is *new* until the first call: no connection, and nothing in Redis. Then it *reads* while calls wait, over one connection of its own, and is *idle* while none does: nothing is sent then. A
 * connection that breaks is replaced, and the stream read from its beginning: what has been told before belongs to no call any more, or has a number that was. While it waits it prolongs the life of the stream. `close` ends it: waiting calls fail, and
 * the stream is deleted; that of a client that dies goes by itself, and servers end what they would have replied.
 */
export class Replies {
  readonly client = randomUUID();
  readonly #streams: RedisStreams;
  readonly #timeoutMs: number;
  readonly #keys: ReplyKeys;
  readonly #reporter: Reporter;
  readonly #waiting = new Map<string, Waiting>();
  readonly #closing = new AbortController();
  #reading: Promise<void> | undefined;
  #failures = 0;
  /** By the local clock. */
  #prolongedAt = -Infinity;
  #wake: () => void = () => undefined;

  constructor(streams: RedisStreams, timeoutMs: number) {
    this.#streams = streams;
    this.#timeoutMs = timeoutMs;
    this.#keys = replyKeys(streams.connection.keys, this.client);
    this.#reporter = new Reporter('RedisStreamsClient', streams.connection.clock);
  }

  /** @returns the id of the call; its replies are told until one is the last, or `abandon` */
  expect(pattern: string, tell: Waiting['tell']): string {
    const call = randomUUID();
    this.#waiting.set(call, { pattern, tell, next: 0, cancel: this.#timer(call) });
    this.#reading ??= this.#read();
    this.#wake();
    return call;
  }

  /** Nobody wants the replies to a call any more. When it is not over yet its server is told so, at its beginning or with its next reply. @see one SET, if it is not over */
  abandon(call: string): void {
    if (!this.#waiting.has(call)) return;
    this.#forget(call);
    this.#tellAbandoned(call);
  }

  #tellAbandoned(call: string): void {
    const ttlMs = Math.max(replyTtlMs, this.#timeoutMs);
    this.#streams.connection
      .call(this.#call('abandon'), (client) => client.set(this.#keys.abandoned(call), '1', 'PX', ttlMs))
      .catch((error: unknown) => {
        // Its server goes on until nobody has waited for a reply for the call's timeout.
        this.#reporter.error('abandoning a call', error);
      });
  }

  #forget(call: string): void {
    this.#waiting.get(call)?.cancel();
    this.#waiting.delete(call);
  }

  /** Ends a call that has gone wrong on the way out. */
  fail(call: string, err: unknown): void {
    const waiting = this.#waiting.get(call);
    this.#forget(call);
    waiting?.tell({ err, isLast: true });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const [call, { pattern }] of [...this.#waiting]) this.fail(call, new ClientClosedError(pattern));
    await this.#reading;
    try {
      await this.#streams.connection.call(this.#call('close'), (client) => client.del(this.#keys.replies));
    } catch {
      // It goes by itself within a minute.
    }
  }

  #timer(call: string): Cancel {
    return this.#streams.connection.clock.after(this.#timeoutMs, () => {
      const { pattern = '', next = 0 } = this.#waiting.get(call) ?? {};
      // A second server that repeats what the first one has replied can't tell that it is nothing new.
      if (next > 0) this.#tellAbandoned(call);
      this.fail(call, new CallTimeoutError(pattern, this.#timeoutMs));
    });
  }

  /** Reads until the client closes. Never rejects. */
  async #read(): Promise<void> {
    const { connection } = this.#streams;
    const { signal } = this.#closing;
    // A client that nobody closes ends with the application.
    while (!signal.aborted && !connection.closed) {
      this.#failures += 1;
      this.#report(await this.#session().catch((error: unknown) => error));
      await pause(connection.clock, backoffMs(this.#failures), signal);
    }
  }

  #report(error: unknown): void {
    // How a session ends when the client closes.
    if (!this.#closing.signal.aborted && !this.#streams.connection.closed)
      this.#reporter.error('reading replies; it is tried again', error);
  }

  /** Never resolves: a session always ends with a reason. */
  async #session(): Promise<never> {
    const { connection } = this.#streams;
    const client = connection.blocking(this.#keys.replies);
    const end = new AbortController();
    const broken = () => {
      end.abort(new Error('the connection broke'));
    };
    for (const event of ['close', 'end']) client.on(event, broken);
    this.#closing.signal.addEventListener('abort', broken);
    try {
      for (let after = '0-0'; ;) {
        await unlessAborted(this.#whenWanted(), end.signal);
        const entries = await this.#readOnce(client, after, end);
        this.#failures = 0;
        this.#prolong();
        for (const entry of entries) await this.#tell(entry);
        after = entries.at(-1)?.id ?? after;
        if (entries.length > 0) this.#trim(after);
      }
    } finally {
      this.#closing.signal.removeEventListener('abort', broken);
      for (const event of ['close', 'end']) client.off(event, broken);
      connection.release(client);
    }
  }

  /** As long as it waits its replies are kept, and servers go on with what has no end. */
  #prolong(): void {
    const { clock } = this.#streams.connection;
    if (clock.now() - this.#prolongedAt < replyTtlMs / 4) return;
    this.#prolongedAt = clock.now();
    this.#streams.connection
      .call(this.#call('prolong'), (client) => client.pexpire(this.#keys.replies, replyTtlMs))
      .catch((error: unknown) => {
        this.#reporter.error('prolonging the life of replies', error);
      });
  }

  async #whenWanted(): Promise<void> {
    if (this.#waiting.size > 0) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  async #readOnce(client: RedisClient, after: string, end: AbortController): Promise<RawEntry[]> {
    const { connection, options } = this.#streams;
    // Often enough to prolong the life of the replies.
    const blockMs = Math.min(options.blockMs, replyTtlMs / 4);
    const cancel = connection.clock.after(blockMs + graceMs, () => {
      end.abort(new Error(`a read was not answered within ${blockMs + graceMs} ms`));
    });
    try {
      const reply = await unlessAborted(
        client.callBuffer('xread', 'COUNT', largestRead, 'BLOCK', blockMs, 'STREAMS', this.#keys.replies, after),
        end.signal,
      );
      const [stream] = Array.isArray(reply) ? (reply as unknown[]) : [];
      return Array.isArray(stream) ? parseEntries((stream as unknown[])[1]) : [];
    } finally {
      cancel();
    }
  }

  async #tell(entry: RawEntry): Promise<void> {
    const reply = await readReply(entry, this.#streams.codec);
    const waiting = reply === undefined ? undefined : this.#waiting.get(reply.call);
    if (reply === undefined || waiting === undefined) return;
    const repeated = reply.number < waiting.next;
    // A second server may come to its end earlier than the first one had come.
    if (repeated && !reply.isLast) return;
    waiting.next = Math.max(waiting.next, reply.number + 1);
    waiting.cancel();
    if (reply.isLast) this.#waiting.delete(reply.call);
    else waiting.cancel = this.#timer(reply.call);
    waiting.tell(repeated ? { err: reply.err, isLast: true } : reply);
  }

  /** What has been told takes no memory any more; when it fails, the next one does it, or the end of the stream's life. */
  #trim(upTo: string): void {
    this.#streams.connection
      .call(this.#call('trim'), (client) => client.call('xtrim', this.#keys.replies, 'MINID', upTo))
      .catch((error: unknown) => {
        this.#reporter.error('trimming replies', error);
      });
  }

  #call(operation: string): RedisCall {
    const budgetMs = this.#streams.options.commandTimeoutMs;
    return { library: 'redis-streams', operation: `streams.replies.${operation}`, budgetMs };
  }
}
