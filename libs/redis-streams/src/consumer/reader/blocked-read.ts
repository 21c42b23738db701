import type { RedisClient, RedisConnection } from '@redstart/redis-core';
import type { ResolvedStreamsOptions } from '../../streams.options.js';
import { backgroundCall } from '../group.js';
import { pause } from '../pause.js';
import { unblock } from './unblock.js';

/** How much longer than BLOCK a read may take before its connection is taken for dead. */
const graceMs = 5_000;
/** How long to wait for a read that was unblocked, at first; it may not have been blocked yet. */
const unblockAgainMs = 20;
const longestWaitMs = 100;
/** A read that does not end by that is cut off with its connection. */
const longestUnblockingMs = 2_000;

/**
 * A read that has been sent, and waits for entries.
 *
 * It is *open* until Redis answers. `interrupt` has the server answer it at once, so that nothing which was delivered gets lost; one that is not answered even then, or not within `block` and a few
 * seconds, or whose connection breaks (`fail`), is *given up*: what Redis answers afterwards is ignored, and taken up by the next session. `nudge` asks for an answer as well, and leaves the read alone
 * where the server can't be asked.
 */
export class BlockedRead {
  /** Rejects when the read is given up. */
  readonly answer: Promise<unknown>;
  readonly #connection: RedisConnection;
  readonly #options: ResolvedStreamsOptions;
  readonly #client: RedisClient;
  readonly #clientId: Promise<number | undefined>;
  #open = true;
  #unblocking = false;
  /** Whether it has to end, whatever that costs. */
  #must = false;
  #giveUp: (reason: Error) => void = () => undefined;

  /** @param clientId the CLIENT ID of the connection; undefined when the server does not tell */
  constructor(
    { connection, options }: { connection: RedisConnection; options: ResolvedStreamsOptions },
    client: RedisClient,
    clientId: Promise<number | undefined>,
    reply: Promise<unknown>,
  ) {
    this.#connection = connection;
    this.#options = options;
    this.#client = client;
    this.#clientId = clientId;
    const lateMs = options.blockMs + graceMs;
    this.answer = new Promise((resolve, reject) => {
      this.#giveUp = reject;
      reply.then(resolve, reject);
    }).finally(() => {
      this.#open = false;
      cancel();
    });
    const cancel = connection.clock.after(lateMs, () => {
      this.fail(new Error(`a read was not answered within ${lateMs} ms`));
    });
  }

  /** Gives the read up. */
  fail(reason: Error): void {
    this.#giveUp(reason);
  }

  /** Ends it: lets the server answer it, or else gives it up. */
  interrupt(): void {
    this.#must = true;
    this.nudge();
  }

  /** Lets the server answer it, if it can be asked. However often it is called meanwhile, the server is asked once. */
  nudge(): void {
    if (this.#unblocking) return;
    this.#unblocking = true;
    void this.#unblock();
  }

  async #unblock(): Promise<void> {
    const { clock } = this.#connection;
    const startedAt = clock.now();
    const id = await this.#clientId;
    const call = backgroundCall({ options: this.#options }, 'unblock');
    // Its own: listeners of all readers of a process would gather at a common one.
    const { signal } = new AbortController();
    for (let waitMs = unblockAgainMs; this.#open && id !== undefined; waitMs = Math.min(2 * waitMs, longestWaitMs)) {
      if (clock.now() - startedAt >= longestUnblockingMs) break;
      await unblock(this.#connection, call, this.#client, id);
      // The answer comes on the other connection; or the read was not blocked yet.
      await pause(clock, waitMs, signal);
    }
    this.#unblocking = false;
    if (this.#open && this.#must) this.fail(new Error('a read could not be unblocked'));
  }
}
