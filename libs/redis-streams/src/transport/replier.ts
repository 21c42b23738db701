import type { RedisCall } from '@redstart/redis-core';
import { backoffMs, pause } from '../consumer/pause.js';
import type { Reporter } from '../consumer/reporter.js';
import type { StreamContext } from '../consumer/stream-context.js';
import { replyKeys, type ReplyKeys } from '../keys.js';
import { beginCallScript, replyScript } from '../scripts/reply.js';
import type { RedisStreams } from '../streams.service.js';
import { requestHeaders } from './open-stream.js';
import { replyFields, type Reply } from './reply.js';

/** About how many replies wait for a client that does not read. */
const repliesKept = 10_000;
/** How long the replies stay for a client that has died. */
export const replyTtlMs = 60_000;

/** Sends the replies to one call, in order. */
export class Replier {
  readonly #streams: RedisStreams;
  readonly #reporter: Reporter;
  readonly #request: StreamContext;
  readonly #keys: ReplyKeys;
  /** How long the client waits for the first reply, and for each further one. */
  readonly timeoutMs: number;
  #sent = 0;

  constructor(streams: RedisStreams, reporter: Reporter, request: StreamContext) {
    this.#streams = streams;
    this.#reporter = reporter;
    this.#request = request;
    this.#keys = replyKeys(streams.connection.keys, request.headers[requestHeaders.replyTo] ?? '-');
    this.timeoutMs = Number(request.headers[requestHeaders.timeout] ?? 0);
  }

  /** For how many ms whoever asks still waits, by the server's clock: 0 or less when it has given up. @see one EVALSHA */
  async remainingMs(): Promise<number> {
    const { scripts } = this.#streams.connection;
    const { messageId, publishedAt } = this.#request;
    const now = await scripts.run(this.#call('begin-call'), beginCallScript, [this.#keys.abandoned(messageId)], []);
    return now === undefined ? 0 : publishedAt.getTime() + this.timeoutMs - now;
  }

  /**
   * Never rejects: a reply that can't be sent for as long as whoever asks waits, is not wanted any more.
   *
   * @returns false when nobody waits any more
   * @see one script: EXISTS, XADD, PEXPIRE
   */
  async send(reply: Pick<Reply, 'err' | 'response' | 'isLast'>): Promise<boolean> {
    const { connection, codec } = this.#streams;
    const number = this.#sent++;
    const { messageId } = this.#request;
    const fields = await replyFields({ ...reply, call: messageId, number }, codec);
    const keys = [this.#keys.replies, this.#keys.abandoned(messageId)];
    const args = [number, repliesKept, replyTtlMs, ...fields];
    const until = connection.clock.now() + this.timeoutMs;
    for (let failures = 1; ; failures += 1) {
      try {
        return await connection.scripts.run(this.#call('reply'), replyScript, keys, args);
      } catch (error) {
        this.#reporter.error(`replying to "${this.#request.type}"`, error);
        if (this.#request.signal.aborted || connection.clock.now() >= until) return false;
        await pause(connection.clock, backoffMs(failures), this.#request.signal);
      }
    }
  }

  #call(operation: string): RedisCall {
    const budgetMs = this.#streams.options.commandTimeoutMs;
    return { library: 'redis-streams', operation: `streams.${operation}`, budgetMs };
  }
}
