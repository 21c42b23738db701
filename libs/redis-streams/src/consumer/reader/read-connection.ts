import type { RedisClient, RedisConnection } from '@redstart/redis-core';
import type { ResolvedStreamsOptions } from '../../streams.options.js';
import { BlockedRead } from './blocked-read.js';
import type { PartReading } from './part-reading.js';
import type { ReadPlan } from './read-plan.js';
import { streamsOf } from './read-reply.js';
import type { StreamReply } from './read-size.js';

/** How long a read may wait that leaves somebody out, when the server can't be asked to end it. */
const shortBlockMs = 50;

export interface ReaderContext {
  readonly connection: RedisConnection;
  readonly options: ResolvedStreamsOptions;
  readonly group: string;
  /** The consumer's name. */
  readonly name: string;
}

/**
 * The connection of one session, with at most one read under way; on a Cluster to the master that owns the streams, and to no other node, so that nobody else's death matters.
 *
 * It is *open* until it breaks or is closed, and then never used again.
 */
export class ReadConnection {
  readonly #context: ReaderContext;
  readonly #client: RedisClient;
  /** The CLIENT ID of the connection; undefined when the server does not tell. */
  readonly #clientId: Promise<number | undefined>;
  readonly #onBroken: (failure: Error) => void;
  #canUnblock = false;
  #current: { readonly plan: ReadPlan<PartReading>; readonly read: BlockedRead } | undefined;

  /** @param key one of the streams @param onBroken told when it breaks */
  constructor(context: ReaderContext, key: string | undefined, onBroken: (failure: Error) => void) {
    this.#context = context;
    this.#onBroken = onBroken;
    this.#client = context.connection.blocking(key);
    this.#clientId = this.#client.call('client', 'id').then(Number, () => undefined);
    void this.#clientId.then((id) => (this.#canUnblock = id !== undefined));
    for (const event of ['close', 'end']) this.#client.on(event, this.#broken);
  }

  /** Whether a read is under way. */
  get reading(): boolean {
    return this.#current !== undefined;
  }

  /** Whether the read that is under way is one of this part. */
  reads(part: PartReading): boolean {
    return this.#current?.plan.parts.has(part) === true;
  }

  /** @see one XREADGROUP */
  send(plan: ReadPlan<PartReading>): Promise<StreamReply[]> {
    const { group, name, options } = this.#context;
    const keys = [...plan.parts].flatMap((part) => part.readable.map(({ key }) => key));
    const blockMs = plan.leavesOut && !this.#canUnblock ? Math.min(shortBlockMs, options.blockMs) : options.blockMs;
    const reply = this.#client.callBuffer(
      'xreadgroup',
      ...['GROUP', group, name, 'COUNT', plan.count],
      ...(plan.blocking ? ['BLOCK', blockMs] : []),
      ...['STREAMS', ...keys, ...keys.map(() => '>')],
    );
    const current = { plan, read: new BlockedRead(this.#context, this.#client, this.#clientId, reply) };
    this.#current = current;
    return current.read.answer.then(streamsOf).finally(() => {
      if (this.#current === current) this.#current = undefined;
    });
  }

  /** Ends a read of the part that is under way, whatever that costs. */
  interrupt(part: PartReading): void {
    if (this.reads(part)) this.#current?.read.interrupt();
  }

  /** Ends the read that is under way, if it waits, and the server can be asked. */
  nudge(): void {
    if (this.#current?.plan.blocking === true) this.#current.read.nudge();
  }

  close(): void {
    for (const event of ['close', 'end']) this.#client.off(event, this.#broken);
    this.#context.connection.release(this.#client);
  }

  readonly #broken = (): void => {
    const failure = new Error('the connection of the reader broke');
    this.#current?.read.fail(failure);
    this.#onBroken(failure);
  };
}
