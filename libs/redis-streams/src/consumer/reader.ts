import type { RedisClient } from '@redstart/redis-core';
import { parseEntries } from '../message/envelope.js';
import type { Delivery } from '../scripts/claim.js';
import { resumeScript } from '../scripts/resume.js';
import type { Dispatcher } from './dispatcher.js';
import { backgroundCall, ensureGroup, type GroupMember } from './group.js';
import { backoffMs, pause } from './pause.js';
import type { Reporter } from './reporter.js';

/** How much longer than BLOCK a read may take before its connection is taken for dead. */
const graceMs = 5_000;
const largestRead = 200;

/**
 * Reads new entries for one consumer, over one connection of its own, from `start` to `stop`.
 *
 * It works in *sessions*. A session makes sure that the group exists, opens a fresh blocking connection (on a Cluster to the master that owns the stream, and to no other
 * node, so that nobody else's death matters), takes up what was delivered to this consumer but never
 * arrived (*resuming*), and then *reads*: whenever slots are free it asks for that many entries and waits up to `block` for the first. Anything that goes wrong ends the
 * session: a broken connection, a read that outlasts its time, an error of the server, above all NOGROUP and UNBLOCKED after FLUSHALL, DEL or an empty restart, and MOVED or ASK when the
 * stream goes to another master. A connection
 * that broke is never used again, since ioredis would repeat the read and hide that a reply was lost. Then the reader *backs off*, 50 ms at first and 2 s at most until
 * a read succeeds again, and begins the next session. So there is one way to recover, and no error that ends the reading.
 *
 * A group that is missing in a later session was lost together with its stream: it is created again from the start of the stream, also with `from: 'new'`, because entries
 * published in between would be skipped otherwise.
 */
export class Reader {
  readonly #member: GroupMember;
  readonly #dispatcher: Dispatcher;
  readonly #reporter: Reporter;
  readonly #stopping = new AbortController();
  #from: 'start' | 'new';
  #failures = 0;
  #ended: Promise<void> = Promise.resolve();

  constructor(member: GroupMember, dispatcher: Dispatcher, reporter: Reporter) {
    this.#member = member;
    this.#dispatcher = dispatcher;
    this.#reporter = reporter;
    this.#from = member.consumer.from;
  }

  /** Resolves when the group exists, or could not be created for now; reading goes on behind it. */
  async start(): Promise<void> {
    try {
      await this.#ensureGroup();
    } catch (error) {
      this.#report(error);
    }
    this.#ended = this.#run();
  }

  /** Resolves when nothing is being read any more, at once: a blocked read is cut off. What it may have been given stays pending. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const reason = await this.#session().catch((error: unknown) => error);
      this.#failures += 1;
      this.#report(reason);
      await pause(this.#member.connection.clock, backoffMs(this.#failures), signal);
    }
  }

  /** Never resolves: a session always ends with a reason. */
  async #session(): Promise<never> {
    await this.#ensureGroup();
    this.#stopping.signal.throwIfAborted(); // Stopped meanwhile: the listener below would never be told.
    const { connection, keys } = this.#member;
    const client = connection.blocking(keys.stream);
    const end = new AbortController();
    const stopped = () => {
      end.abort(new Error('stopped'));
    };
    const broken = () => {
      end.abort(new Error('the connection of the reader broke'));
    };
    this.#stopping.signal.addEventListener('abort', stopped);
    for (const event of ['close', 'end']) client.on(event, broken);
    try {
      let resuming = true;
      for (;;) {
        await this.#dispatcher.whenFree(end.signal);
        end.signal.throwIfAborted();
        const count = Math.min(this.#dispatcher.free, largestRead);
        const entries: Delivery[] = resuming ? await this.#resume(count) : await this.#read(client, count, end);
        if (!resuming) this.#failures = 0;
        resuming = resuming && entries.length === count;
        // Also when the session has ended meanwhile: they were given to us, and nobody else would take them before minIdle.
        this.#dispatcher.accept(entries);
      }
    } finally {
      this.#stopping.signal.removeEventListener('abort', stopped);
      for (const event of ['close', 'end']) client.off(event, broken);
      connection.release(client);
    }
  }

  async #ensureGroup(): Promise<void> {
    await ensureGroup(this.#member, this.#from);
    this.#from = 'start';
  }

  #resume(count: number): Promise<Delivery[]> {
    const { connection, keys, consumer, name } = this.#member;
    const args = [consumer.group, name, count, ...this.#dispatcher.knownIds];
    return connection.scripts.run(backgroundCall(this.#member, 'resume'), resumeScript, [keys.stream], args);
  }

  async #read(client: RedisClient, count: number, end: AbortController): Promise<Delivery[]> {
    const { connection, consumer, keys, name, options } = this.#member;
    const cancel = connection.clock.after(options.blockMs + graceMs, () => {
      end.abort(new Error(`a read was not answered within ${options.blockMs + graceMs} ms`));
    });
    try {
      const reply = await unlessAborted(
        client.callBuffer(
          'xreadgroup',
          ...['GROUP', consumer.group, name, 'COUNT', count, 'BLOCK', options.blockMs, 'STREAMS', keys.stream, '>'],
        ),
        end.signal,
      );
      // New entries have been delivered to nobody before.
      return entriesOfOneStream(reply).map((entry) => ({ ...entry, deliveries: 1 }));
    } finally {
      cancel();
    }
  }

  #report(error: unknown): void {
    // How a session ends that was stopped.
    if (this.#stopping.signal.aborted) return;
    const { stream, group } = this.#member.consumer;
    this.#reporter.error(`reading the stream "${stream.name}" for the group "${group}"; it is tried again`, error);
  }
}

/** Settles like `work`, or rejects with the reason of the abort; what `work` does afterwards is ignored. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    };
    signal.addEventListener('abort', abort);
    void work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', abort);
    });
    if (signal.aborted) abort();
  });
}

function entriesOfOneStream(reply: unknown) {
  const [stream] = Array.isArray(reply) ? (reply as unknown[]) : [];
  return Array.isArray(stream) ? parseEntries((stream as unknown[])[1]) : [];
}
